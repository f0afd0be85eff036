package response

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// siteQuestions are the names by which forms ask for the site.
var siteQuestions = []string{"site", "site_id", "site_code", "water_point"}

// siteOf finds the site that the answers mean; empty when none does.
func (s *Service) siteOf(r *ledger.Reader, actor ledger.Actor, org, question string, answers map[string]any) (string, error) {
	if s.Sites == nil {
		return "", nil
	}
	names := siteQuestions
	if question != "" {
		names = []string{question[strings.LastIndexByte(question, '/')+1:]}
	}
	for _, name := range names {
		for _, value := range named(answers, name, 0) {
			if site, found, err := s.Sites(r, actor, org, value); err != nil || found {
				return site, err
			}
		}
	}
	return "", nil
}

// named gives the answers to questions of a name, at any depth, in an order that does not change. A few are enough: each costs a lookup.
func named(answers map[string]any, name string, depth int) []string {
	const most = 5
	var values []string
	switch v := answers[name].(type) {
	case string:
		if v = strings.TrimSpace(v); v != "" && len(v) <= 64 {
			values = append(values, v)
		}
	case int64:
		values = append(values, strconv.FormatInt(v, 10))
	case float64:
		values = append(values, fmt.Sprintf("%.0f", v))
	}
	if depth > 20 {
		return values
	}
	keys := make([]string, 0, len(answers))
	for k := range answers {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		var inside []any
		switch v := answers[k].(type) {
		case map[string]any:
			inside = []any{v}
		case []any:
			inside = v
		}
		for _, one := range inside {
			if group, ok := one.(map[string]any); ok && len(values) < most {
				values = append(values, named(group, name, depth+1)...)
			}
		}
	}
	if len(values) > most {
		values = values[:most]
	}
	return values
}

func itoa(n int) string { return strconv.Itoa(n) }
