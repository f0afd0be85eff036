package web

import (
	"context"
	"net/http"
	"time"
)

// Limits of uploads.
const (
	maxForm   = 5 << 20
	maxPhoto  = 32 << 20
	maxImport = 64 << 20

	maxUploads      = 8 // at once, in memory
	maxUploadsOfOne = 3 // of one person
	uploadWait      = 5 * time.Second
)

// routes is every route of the API. Those of as need a signed-in person; those of
// on are for everybody, and say themselves what they ask for.
func (s *server) routes() {
	on(s, "GET /health", "Is the server up", s.health)
	on(s, "GET /ledger/checkpoint", "The newest signed checkpoint of the ledger", s.checkpoint)
	on(s, "GET /ledger/note", "The same as a file to keep (C2SP tlog-checkpoint)", s.note)
	on(s, "GET /ledger/consistency", "Proof that the ledger has only grown since a note of so many entries (C2SP tlog-witness, add-checkpoint)", s.consistency)
	as(s, "GET /ledger/proof", "Proof that an entry is in the ledger, to be checked without the server (C2SP tlog-proof)", s.proof)
	on(s, "GET /devices.crl", "Revoked device certificates (RFC 5280)", s.revocationList)
	on(s, "POST /claim", "A device gets its certificate for a one-time code", s.claim)

	on(s, "POST /session", "Sign in with e-mail and password", s.signIn)
	on(s, "GET /session", "Who is signed in", s.session)
	on(s, "DELETE /session", "Sign out", s.signOut)
	on(s, "POST /session/code", "Give the second factor", s.sessionCode)
	as(s, "POST /session/step-up", "Show the second factor again", s.sessionStepUp)
	as(s, "GET /session/fresh", "Was the second factor shown within ten minutes; asked before a download, which cannot ask itself", s.sessionFresh)
	on(s, "POST /session/totp", "Begin to set up a second factor", s.totpSetup)
	on(s, "POST /session/totp/confirm", "Confirm the second factor", s.totpConfirm)
	on(s, "POST /session/recovery", "Give a recovery code instead of the second factor", s.sessionRecover)
	on(s, "POST /session/passkey/question", "What to ask a passkey: to sign in, as second factor, or to show it again", s.passkeyAsk)
	on(s, "POST /session/passkey", "Sign in with a passkey, or show it as second factor", s.passkeyShow)
	on(s, "POST /session/provider/offer", "Does an organization sign in people with such an address", s.providerOffer)
	on(s, "POST /session/provider", "Go to the sign-in of the organization, or link it", s.providerBegin)
	on(s, "POST /session/provider/finish", "Come back from it", s.providerFinish)
	on(s, "POST /passkeys/question", "What to ask a new passkey", s.passkeyAddAsk)
	on(s, "POST /passkeys", "Add a passkey", s.passkeyAdd)
	as(s, "PUT /passkeys/{id}", "Name a passkey", s.passkeyRename)
	as(s, "DELETE /passkeys/{id}", "Remove a passkey", s.passkeyRemove)
	as(s, "GET /means", "What my account can prove itself with", s.means)
	as(s, "DELETE /means/totp", "Remove the authenticator app", s.totpRemove)
	as(s, "POST /means/recovery", "New recovery codes, shown once", s.recoveryMake)
	on(s, "POST /invitations/look", "What an invitation is for", s.invitationLook)
	on(s, "POST /invitations/accept", "Accept an invitation", s.invitationAccept)
	as(s, "GET /sessions", "My sessions", s.sessions)
	as(s, "GET /sign-ins", "Sign-ins to my account, tries, and what else happened to it", s.signIns)
	as(s, "DELETE /sessions", "End all my other sessions", s.sessionsEndOthers)
	as(s, "DELETE /sessions/{id}", "End one of my sessions", s.sessionRevoke)
	as(s, "POST /password", "Change my password", s.passwordChange)

	as(s, "GET /organizations", "Organizations that I belong to", s.organizations)
	as(s, "GET /organizations/{id}", "An organization's tree", s.organization)
	as(s, "GET /organizations/{id}/members", "Its people", s.members)
	as(s, "GET /organizations/{id}/invitations", "Its open invitations", s.invitations)
	as(s, "POST /organizations/{id}/invitations", "Invite somebody; the link is shown once", s.invite)
	as(s, "GET /organizations/{id}/export", "Everything of an organization, history included, as one archive", s.export, long)
	as(s, "GET /organizations/{id}/erasures", "Erasures, ordered, sealed and done", s.erasures)
	as(s, "POST /organizations/{id}/erasures", "Order an erasure; another administrator confirms it", s.erasureOrder)
	as(s, "POST /erasures/{id}/confirm", "Seal what another administrator ordered; after seven days it is erased", s.erasureConfirm)
	as(s, "POST /erasures/{id}/call-off", "Call an erasure off; what was sealed is back", s.erasureCallOff)
	as(s, "GET /erasures/{id}/certificate", "The signed certificate of a complete erasure", s.erasureCertificate)
	as(s, "GET /organizations/{id}/retention", "What the next run of retention will expire", s.retention)
	as(s, "POST /organizations/{id}/retention/run", "Expire now what is too old", s.retentionRun, long)
	as(s, "POST /organizations/{id}/members/{person}/sign-in-link", "A one-time link for a member who lost the password", s.signInLink)
	as(s, "POST /organizations/{id}/members/{person}/end-sessions", "End all sessions of a member at once", s.memberEndSessions)
	as(s, "DELETE /invitations/{id}", "Withdraw an invitation", s.invitationDelete)
	as(s, "POST /invitations/{id}/send", "Send an invitation again, with a new link", s.invitationSend)
	as(s, "GET /organizations/{id}/policy", "Its sharing policy", s.policy)
	as(s, "PUT /organizations/{id}/policy", "Change the sharing policy", s.policyUpdate)
	as(s, "GET /organizations/{id}/policy/breaches", "Deployments that break the sharing policy", s.policyBreaches)
	as(s, "POST /deployments/{id}/accept-breaches", "Let a deployment be although it breaks the sharing policy", s.breachesAccept)
	as(s, "GET /organizations/{id}/workspaces", "Its workspaces", s.workspaces)
	as(s, "POST /organizations/{id}/workspaces", "Make a workspace", s.workspaceCreate)
	as(s, "PUT /workspaces/{id}", "Change a workspace", s.workspaceUpdate)
	as(s, "DELETE /workspaces/{id}", "Delete a workspace", s.workspaceDelete)
	as(s, "GET /organizations/{id}/join-codes", "Its join codes", s.joinCodes)
	as(s, "POST /organizations/{id}/join-codes", "Make a join code; it is shown once", s.joinCodeCreate)
	as(s, "POST /join-codes/{id}/revoke", "End a join code for good", s.joinCodeRevoke)
	as(s, "GET /organizations/{id}/join-requests", "People who ask to join", s.joinRequests)
	as(s, "POST /join-requests/{id}/approve", "Let somebody in", s.joinApprove)
	as(s, "POST /join-requests/{id}/decline", "Do not let somebody in", s.joinDecline)
	on(s, "POST /join/look", "What a join code is for", s.joinLook)
	on(s, "POST /join/newcomer", "Join by a code without having been here before", s.joinNewcomer)
	as(s, "POST /join", "Join by a code", s.join)
	as(s, "GET /join", "My requests to join", s.joinMine)
	as(s, "POST /branches", "Make a branch", s.branchCreate)
	as(s, "PUT /branches/{id}", "Rename or move a branch", s.branchUpdate)
	as(s, "DELETE /branches/{id}", "Delete an empty branch", s.branchDelete)
	as(s, "POST /teams", "Make a team", s.teamCreate)
	as(s, "DELETE /teams/{id}", "Delete an empty team", s.teamDelete)
	as(s, "POST /memberships", "Put a person into a group", s.membershipCreate)
	as(s, "PUT /memberships/{id}", "Change the group", s.membershipUpdate)
	as(s, "DELETE /memberships/{id}", "Take a person out of a group", s.membershipDelete)

	as(s, "GET /grants", "Grants on one thing", s.grants)
	as(s, "POST /grants", "Give a right on one thing", s.grantCreate)
	as(s, "DELETE /grants/{id}", "Take a grant back", s.grantDelete)

	as(s, "GET /access/why", "Why somebody may, or may not, do something to a thing", s.why)
	as(s, "GET /access/who", "Who may do something to a thing", s.who)
	as(s, "GET /access/rights/{kind}", "What can be done, and given, on a kind of thing", s.rightsOfKind)
	as(s, "POST /access/preview", "What a change of rights would do; nothing is changed", s.accessPreview)
	as(s, "POST /access/find", "A person by e-mail address, or an organization by name, to share a thing with", s.find)
	as(s, "GET /organizations/{id}/collaborators", "People of other organizations with rights here, and ours with rights elsewhere", s.collaborators)

	as(s, "GET /organizations/{id}/provider", "Its sign-in by OpenID Connect", s.provider)
	as(s, "PUT /organizations/{id}/provider", "Set it up", s.providerSet)
	as(s, "DELETE /organizations/{id}/provider", "End it", s.providerRemove)
	as(s, "GET /organizations/{id}/tokens", "Its service tokens, with their last use", s.tokenList)
	as(s, "POST /tokens", "Make a service token; it is shown once", s.tokenCreate)
	as(s, "POST /tokens/{id}/revoke", "End a service token for good", s.tokenRevoke)
	as(s, "GET /tokens/scopes", "What a service token can be narrowed to", s.tokenScopes)

	as(s, "GET /site-types", "Types of sites with their properties", s.siteTypes)
	as(s, "GET /sites", "Sites that I may see", s.sites)
	as(s, "GET /sites/points", "Their positions, for a map", s.sitePoints)
	as(s, "POST /sites", "Make a site", s.siteCreate)
	as(s, "GET /sites/{id}", "A site", s.site)
	as(s, "PUT /sites/{id}", "Change a site", s.siteUpdate)
	as(s, "DELETE /sites/{id}", "Delete a site; it can be brought back", s.siteDelete)
	as(s, "PUT /sites/{id}/photos/{name}", "Add a photo to a site", s.sitePhotoPut, s.upload(maxPhoto))
	as(s, "GET /sites/{id}/photos/{name}", "A photo of a site", s.sitePhoto)
	as(s, "GET /sites/{id}/responses", "Responses at a site", s.siteResponses)
	as(s, "GET /sites/{id}/devices", "Devices at a site", s.siteDevices)

	as(s, "GET /imports", "Imports of sites", s.imports)
	as(s, "POST /imports", "Look at a CSV file before importing it", s.importPreview, s.upload(maxImport))
	as(s, "GET /imports/{id}", "An import with its progress", s.importGet)
	as(s, "GET /imports/{id}/errors.csv", "The rows that were left out", s.importErrors)
	as(s, "POST /imports/{id}/run", "Run an import", s.importRun)
	as(s, "POST /imports/{id}/undo", "Take a whole import back", s.importUndo, long)

	as(s, "GET /surveys", "Surveys", s.surveys)
	as(s, "POST /surveys", "Make a survey of an XForm", s.surveyCreate, s.upload(maxForm))
	as(s, "GET /surveys/{id}", "A survey", s.survey)
	as(s, "PUT /surveys/{id}", "Change a survey", s.surveyUpdate)
	as(s, "GET /surveys/{id}/form", "The current version of its form", s.formCurrent)
	as(s, "POST /surveys/{id}/form", "Add a version of its form", s.formUpload, s.upload(maxForm))
	as(s, "GET /surveys/{id}/versions", "All versions of its form", s.formVersions)
	as(s, "GET /forms/{id}/form.xml", "A version's exact XML", s.formXML)
	as(s, "GET /forms/{id}/files", "A version's own files: pictures, lists", s.formFiles)
	as(s, "PUT /forms/{id}/files/{name}", "Add one of its files", s.formFilePut, s.upload(maxImport))
	as(s, "GET /surveys/{id}/deployments", "Its deployments", s.deployments)
	as(s, "POST /surveys/{id}/deployments", "Put a survey to work", s.deploy)
	as(s, "GET /deployments/{id}", "A deployment", s.deployment)
	as(s, "PUT /deployments/{id}", "Change a deployment", s.deploymentUpdate)
	as(s, "GET /phones", "Phones that send in", s.phones)
	as(s, "POST /phones", "Set up a phone; its address is shown once", s.phoneCreate)
	as(s, "DELETE /phones/{id}", "Revoke a phone", s.phoneRevoke)

	as(s, "GET /responses", "Responses", s.responses)
	as(s, "POST /deployments/{id}/responses", "Begin a response in the portal", s.responseStart)
	as(s, "GET /responses/{id}", "A response", s.response)
	as(s, "PUT /responses/{id}", "Change answers or the site", s.responseUpdate)
	as(s, "DELETE /responses/{id}", "Delete a response; it can be brought back", s.responseDelete)
	as(s, "POST /responses/{id}/submit", "Send a draft in", s.step(unreasoned(s.Responses.Submit)))
	as(s, "POST /responses/{id}/approve", "Pass the present stage", s.step(unreasoned(s.Responses.Approve)))
	as(s, "POST /responses/{id}/reject", "Send it back with a reason", s.step(s.Responses.Reject))
	as(s, "POST /responses/{id}/recall", "Take my own back to a draft", s.step(unreasoned(s.Responses.Recall)))
	as(s, "GET /responses/{id}/submission.xml", "What the phone sent, byte for byte", s.submissionXML)
	as(s, "GET /responses/{id}/files/{name}", "A photo or file", s.responseFile)
	as(s, "GET /quarantine", "Submissions that wait for an administrator", s.quarantine)
	as(s, "GET /quarantine/{id}/submission.xml", "What the phone sent", s.quarantineXML)
	as(s, "POST /quarantine/{id}/release", "Make a response of it", s.quarantineRelease)

	as(s, "GET /devices", "Devices", s.devices)
	as(s, "POST /devices", "Register a device", s.deviceRegister)
	as(s, "GET /devices/{id}", "A device with its last readings", s.device)
	as(s, "PUT /devices/{id}", "Change a device", s.deviceUpdate)
	as(s, "POST /devices/{id}/claim-code", "A one-time code, shown once", s.deviceCode)
	as(s, "POST /devices/{id}/revoke", "End its credentials and sessions at once", s.deviceRevoke)
	as(s, "GET /devices/{id}/readings", "Readings over time", s.deviceReadings)
	as(s, "GET /devices/{id}/refused", "Its last refused messages, and why", s.deviceMessages)
	as(s, "GET /refusals", "Connections that were turned away", s.refusals)

	as(s, "GET /activity", "What happened, newest first", s.acts)
	as(s, "GET /activity/{number}", "One change, before and after", s.entry)
	as(s, "GET /acts/{number}", "An act with its entries and what each changed", s.act)
	as(s, "GET /organizations/{id}/audit.jsonl", "Activity as JSON lines, resumable by number, and as a feed", s.auditFeed, long)
	as(s, "GET /organizations/{id}/audit.csv", "Activity as a table, resumable by number", s.auditCSV, long)
	as(s, "POST /activity/{number}/undo", "Take one change back", s.undoEntry)
	as(s, "POST /acts/{number}/undo", "Take a whole act back", s.undoAct, long)
	as(s, "POST /undo/preview", "What undoing all that somebody did in a time would do", s.undoPreview)
	as(s, "POST /undo", "Undo all that somebody did in a time", s.undoRange)
	as(s, "GET /undo/{id}", "How far an undo or its preview is", s.undoRun)
	as(s, "GET /history/{kind}/{id}", "All that happened to a document", s.history)
	as(s, "GET /history/{kind}/{id}/at", "A document as it stood at a time", s.asOf)

	as(s, "GET /organizations/{id}/break-glass", "Visits of server administrators under break-glass", s.breakGlassVisits)
	as(s, "POST /break-glass/{id}/end", "End a visit under break-glass", s.breakGlassEnd)
	as(s, "POST /break-glass/{id}/acknowledge", "Take the notice of a visit under break-glass away", s.breakGlassAcknowledge)

	as(s, "GET /server", "How the server does, for server administrators", s.serverHealth)
	as(s, "GET /server/administrators", "Server administrators", s.serverAdministrators)
	as(s, "POST /server/administrators", "Make a person a server administrator", s.serverAdministratorAdd)
	as(s, "DELETE /server/administrators/{id}", "Take the role away; the last one stays", s.serverAdministratorRemove)
	as(s, "GET /server/accounts", "Accounts", s.serverAccounts)
	as(s, "POST /server/accounts/{id}/disable", "End an account and its sessions", s.serverAccountDisable)
	as(s, "POST /server/accounts/{id}/enable", "Let an account sign in again", s.serverAccountEnable)
	as(s, "POST /server/accounts/{id}/end-sessions", "End all sessions of an account", s.serverAccountEndSessions)
	as(s, "POST /server/accounts/{id}/sign-in-link", "A one-time link, shown once", s.serverAccountLink)
	as(s, "GET /server/organizations", "Organizations with their size", s.serverOrganizations)
	as(s, "POST /server/organizations", "Make an organization", s.serverOrganizationCreate)
	as(s, "POST /server/break-glass", "Enter an organization under break-glass; its admins are told", s.breakGlass)
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
