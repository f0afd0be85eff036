package web

import (
	"context"
	"net/http"
	"time"
)

// Limits of uploads.
const (
	maxForm    = 5 << 20
	maxPhoto   = 32 << 20
	maxImport  = 64 << 20
	uploadTime = 5 * time.Minute
)

// routes is every route of the API. Those with as(...) need a signed-in person;
// the others are for everybody, and say themselves what they ask for.
func (s *server) routes() {
	on(s, "GET /health", "Is the server up", s.health)
	on(s, "GET /ledger/checkpoint", "The newest signed checkpoint of the ledger", s.checkpoint)
	on(s, "GET /devices.crl", "Revoked device certificates (RFC 5280)", s.revocationList)
	on(s, "POST /claim", "A device gets its certificate for a one-time code", s.claim)

	on(s, "POST /session", "Sign in with e-mail and password", s.signIn)
	on(s, "GET /session", "Who is signed in", s.session)
	on(s, "DELETE /session", "Sign out", s.signOut)
	on(s, "POST /session/code", "Give the second factor", s.sessionCode)
	on(s, "POST /session/totp", "Begin to set up a second factor", s.totpSetup)
	on(s, "POST /session/totp/confirm", "Confirm the second factor", s.totpConfirm)
	on(s, "POST /invitations/look", "What an invitation is for", s.invitationLook)
	on(s, "POST /invitations/accept", "Accept an invitation", s.invitationAccept)
	on(s, "GET /sessions", "My sessions", s.sessions)
	on(s, "DELETE /sessions/{id}", "End one of my sessions", s.sessionRevoke)
	on(s, "POST /password", "Change my password", s.passwordChange)

	on(s, "GET /organizations", "Organizations that I belong to", as(s, s.organizations))
	on(s, "GET /organizations/{id}", "An organization's tree", as(s, s.organization))
	on(s, "GET /organizations/{id}/members", "Its people", as(s, s.members))
	on(s, "GET /organizations/{id}/invitations", "Its open invitations", as(s, s.invitations))
	on(s, "POST /organizations/{id}/invitations", "Invite somebody; the link is shown once", as(s, s.invite))
	on(s, "GET /organizations/{id}/export", "Everything of an organization, history included, as one archive", as(s, s.export))
	on(s, "POST /organizations/{id}/members/{person}/sign-in-link", "A one-time link for a member who lost the password", as(s, s.signInLink))
	on(s, "DELETE /invitations/{id}", "Withdraw an invitation", as(s, s.invitationDelete))
	on(s, "POST /branches", "Make a branch", as(s, s.branchCreate))
	on(s, "PUT /branches/{id}", "Rename or move a branch", as(s, s.branchUpdate))
	on(s, "DELETE /branches/{id}", "Delete an empty branch", as(s, s.branchDelete))
	on(s, "POST /teams", "Make a team", as(s, s.teamCreate))
	on(s, "DELETE /teams/{id}", "Delete an empty team", as(s, s.teamDelete))
	on(s, "POST /memberships", "Put a person into a group", as(s, s.membershipCreate))
	on(s, "PUT /memberships/{id}", "Change the group", as(s, s.membershipUpdate))
	on(s, "DELETE /memberships/{id}", "Take a person out of a group", as(s, s.membershipDelete))

	on(s, "GET /grants", "Grants on one thing", as(s, s.grants))
	on(s, "POST /grants", "Give a right on one thing", as(s, s.grantCreate))
	on(s, "DELETE /grants/{id}", "Take a grant back", as(s, s.grantDelete))

	on(s, "GET /site-types", "Types of sites with their properties", as(s, s.siteTypes))
	on(s, "GET /sites", "Sites that I may see", as(s, s.sites))
	on(s, "GET /sites/points", "Their positions, for a map", as(s, s.sitePoints))
	on(s, "POST /sites", "Make a site", as(s, s.siteCreate))
	on(s, "GET /sites/{id}", "A site", as(s, s.site))
	on(s, "PUT /sites/{id}", "Change a site", as(s, s.siteUpdate))
	on(s, "DELETE /sites/{id}", "Delete a site; it can be brought back", as(s, s.siteDelete))
	on(s, "PUT /sites/{id}/photos/{name}", "Add a photo to a site", as(s, s.sitePhotoPut), upload(maxPhoto))
	on(s, "GET /sites/{id}/photos/{name}", "A photo of a site", as(s, s.sitePhoto))
	on(s, "GET /sites/{id}/responses", "Responses at a site", as(s, s.siteResponses))
	on(s, "GET /sites/{id}/devices", "Devices at a site", as(s, s.siteDevices))

	on(s, "GET /imports", "Imports of sites", as(s, s.imports))
	on(s, "POST /imports", "Look at a CSV file before importing it", as(s, s.importPreview), upload(maxImport))
	on(s, "GET /imports/{id}", "An import with its progress", as(s, s.importGet))
	on(s, "GET /imports/{id}/errors.csv", "The rows that were left out", as(s, s.importErrors))
	on(s, "POST /imports/{id}/run", "Run an import", as(s, s.importRun))
	on(s, "POST /imports/{id}/undo", "Take a whole import back", as(s, s.importUndo))

	on(s, "GET /surveys", "Surveys", as(s, s.surveys))
	on(s, "POST /surveys", "Make a survey of an XForm", as(s, s.surveyCreate), upload(maxForm))
	on(s, "GET /surveys/{id}", "A survey", as(s, s.survey))
	on(s, "PUT /surveys/{id}", "Change a survey", as(s, s.surveyUpdate))
	on(s, "GET /surveys/{id}/form", "The current version of its form", as(s, s.formCurrent))
	on(s, "POST /surveys/{id}/form", "Add a version of its form", as(s, s.formUpload), upload(maxForm))
	on(s, "GET /surveys/{id}/versions", "All versions of its form", as(s, s.formVersions))
	on(s, "GET /forms/{id}/form.xml", "A version's exact XML", as(s, s.formXML))
	on(s, "GET /forms/{id}/files", "A version's own files: pictures, lists", as(s, s.formFiles))
	on(s, "PUT /forms/{id}/files/{name}", "Add one of its files", as(s, s.formFilePut), upload(maxImport))
	on(s, "GET /surveys/{id}/deployments", "Its deployments", as(s, s.deployments))
	on(s, "POST /surveys/{id}/deployments", "Put a survey to work", as(s, s.deploy))
	on(s, "GET /deployments/{id}", "A deployment", as(s, s.deployment))
	on(s, "PUT /deployments/{id}", "Change a deployment", as(s, s.deploymentUpdate))
	on(s, "GET /phones", "Phones that send in", as(s, s.phones))
	on(s, "POST /phones", "Set up a phone; its address is shown once", as(s, s.phoneCreate))
	on(s, "DELETE /phones/{id}", "Revoke a phone", as(s, s.phoneRevoke))

	on(s, "GET /responses", "Responses", as(s, s.responses))
	on(s, "POST /deployments/{id}/responses", "Begin a response in the portal", as(s, s.responseStart))
	on(s, "GET /responses/{id}", "A response", as(s, s.response))
	on(s, "PUT /responses/{id}", "Change answers or the site", as(s, s.responseUpdate))
	on(s, "DELETE /responses/{id}", "Delete a response; it can be brought back", as(s, s.responseDelete))
	on(s, "POST /responses/{id}/submit", "Send a draft in", as(s, s.step(unreasoned(s.Responses.Submit))))
	on(s, "POST /responses/{id}/approve", "Pass the present stage", as(s, s.step(unreasoned(s.Responses.Approve))))
	on(s, "POST /responses/{id}/reject", "Send it back with a reason", as(s, s.step(s.Responses.Reject)))
	on(s, "POST /responses/{id}/recall", "Take my own back to a draft", as(s, s.step(unreasoned(s.Responses.Recall))))
	on(s, "GET /responses/{id}/submission.xml", "What the phone sent, byte for byte", as(s, s.submissionXML))
	on(s, "GET /responses/{id}/files/{name}", "A photo or file", as(s, s.responseFile))
	on(s, "GET /quarantine", "Submissions that wait for an administrator", as(s, s.quarantine))
	on(s, "GET /quarantine/{id}/submission.xml", "What the phone sent", as(s, s.quarantineXML))
	on(s, "POST /quarantine/{id}/release", "Make a response of it", as(s, s.quarantineRelease))

	on(s, "GET /devices", "Devices", as(s, s.devices))
	on(s, "POST /devices", "Register a device", as(s, s.deviceRegister))
	on(s, "GET /devices/{id}", "A device with its last readings", as(s, s.device))
	on(s, "PUT /devices/{id}", "Change a device", as(s, s.deviceUpdate))
	on(s, "POST /devices/{id}/claim-code", "A one-time code, shown once", as(s, s.deviceCode))
	on(s, "POST /devices/{id}/revoke", "End its credentials and sessions at once", as(s, s.deviceRevoke))
	on(s, "GET /devices/{id}/readings", "Readings over time", as(s, s.deviceReadings))
	on(s, "GET /devices/{id}/refused", "Its last refused messages, and why", as(s, s.deviceMessages))
	on(s, "GET /refusals", "Connections that were turned away", as(s, s.refusals))

	on(s, "GET /activity", "What happened, newest first", as(s, s.acts))
	on(s, "GET /activity/{number}", "One change, before and after", as(s, s.entry))
	on(s, "POST /activity/{number}/undo", "Take one change back", as(s, s.undoEntry))
	on(s, "POST /acts/{number}/undo", "Take a whole act back", as(s, s.undoAct))
	on(s, "POST /undo/preview", "What undoing all that somebody did in a time would do", as(s, s.undoPreview))
	on(s, "POST /undo", "Undo all that somebody did in a time", as(s, s.undoRange))
	on(s, "GET /undo/{id}", "How far an undo or its preview is", as(s, s.undoRun))
	on(s, "GET /history/{kind}/{id}", "All that happened to a document", as(s, s.history))
	on(s, "GET /history/{kind}/{id}/at", "A document as it stood at a time", as(s, s.asOf))
}

// Health says that the server answers, and whether its database does.
type Health struct {
	OK      bool   `json:"ok"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

func (s *server) health(ctx context.Context, _ *struct{}) (*Body[Health], error) {
	err := s.Ledger.Ping(ctx)
	return body(Health{OK: err == nil, Name: s.Name, Version: s.Version}, err)
}

// describe serves the description of the API.
func (s *server) describe(mux *http.ServeMux) {
	var spec []byte
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec) // the client is gone if this fails
	})
	mux.HandleFunc("GET /api/docs", s.docs)
	mux.HandleFunc("GET /api/docs.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(docsStyle))
	})
	var err error
	if spec, err = s.api.OpenAPI().MarshalJSON(); err != nil {
		panic("openapi: " + err.Error()) // the types are ours
	}
}

// Spec is the OpenAPI description, for the portal's typed client.
func Spec(version string) ([]byte, error) {
	s := &server{House: House{Version: version}}
	s.api = newAPI(http.NewServeMux(), version)
	s.routes()
	return s.api.OpenAPI().MarshalJSON()
}
