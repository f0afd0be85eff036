package form_test

import (
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/field/form"
)

func TestClassesOfQuestions(t *testing.T) {
	f, err := form.Parse([]byte(`<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml" xmlns:qanat="http://qanat.org/xforms" xmlns:q="http://example.org/other">
<h:head><h:title>Household</h:title><model>
<instance><data id="household"><name/><phone/><village/><family><members/><sick/></family><place/><note/><odd/><plain/><meta><instanceID/></meta></data></instance>
<bind nodeset="/data/name" type="string" qanat:confidential="yes"/>
<bind nodeset="/data/phone" type="string" qanat:class=" Organization "/>
<bind nodeset="/data/village" type="string" qanat:class="public"/>
<bind nodeset="/data/family" qanat:class="organization"/>
<bind nodeset="/data/family/members" type="int" qanat:class="public"/>
<bind nodeset="/data/family/sick" type="string" qanat:class="confidential"/>
<bind nodeset="/data/place" type="geopoint" qanat:confidential="500"/>
<bind nodeset="/data/note" type="string" qanat:confidential="no"/>
<bind nodeset="/data/odd" type="string" qanat:class="secret"/>
<bind nodeset="/data/plain" type="string" q:class="confidential"/>
</model></h:head><h:body>
<input ref="/data/name"><label>Name of the head</label></input><input ref="/data/phone"><label>Phone</label></input>
</h:body></h:html>`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/data/name confidential", "/data/phone organization", "/data/village public", "/data/family/members organization",
		"/data/family/sick confidential", "/data/place confidential", "/data/odd confidential",
	}
	var got []string
	for _, c := range f.Classified() {
		got = append(got, c.Path+" "+c.Class)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if f.Classified()[0].Label[""] != "Name of the head" {
		t.Errorf("label %v", f.Classified()[0].Label)
	}
}
