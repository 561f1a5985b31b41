// Package web is the HTTP side of the reference server: it turns requests into commands on the bus and into queries of
// the services, and shows the sagas to operators. It wires nothing: whoever calls [New] says where everything is.
//
//	handler, err := web.New(web.Config{
//		Bus:       bus,
//		Campaigns: web.CampaignsOn(queries), // or web.RemoteCampaigns(…) where the service runs elsewhere
//		Partners:  web.PartnersOn(queries),
//		Events:    web.EventsOn(queries),
//		Sagas:     store, Actor: coordinator, Definitions: []saga.Any{registration.Define()},
//	})
//	server := &http.Server{Addr: ":8000", Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
//
// # Routes
//
// The original's routes have its Spanish bodies and answers: those of the bff (/registrar-campaign, /obtener-partners,
// /eliminar-evento/{id}, /campaña-commando …) and those of the services (/campaigns, /partners, /eventos, /health). What is
// missing is answered {"Status":"No existe"} with status 200 there, since clients of the original expect it. The proper routes
// are under /v1, in English: POST, GET with pages, DELETE, and honest status codes; /v1/sagas is the operators' view.
// [Config].Services selects which of them a handler has. /healthz, /readyz, /openapi.json and /docs are always there.
//
// # Commands
//
// A command's answer says that the broker keeps it, not that it was carried out: entities get their ids here (UUIDv7), and
// appear once their service has accepted them. A campaign's answer has the header Saga-Id, under which /v1/sagas tells
// what becomes of it. A POST under /v1 may bring its own id; sending it again with that id is one registration.
//
// # Operators
//
// An action names the version that it was decided on; it is audited and applied at most once for each id. An edit's data is held
// to the definition's type, and its errors name the field. What does not fit the state is answered 409. The query parameter party
// chooses a service's own part in choreographed sagas, as [Config].Parties has it; pauses go for all parties that run here.
//
// # Rules at the door
//
// A body must be one JSON value in UTF-8 of at most [Config].MaxBody bytes, nested at most 64 deep, with the fields and types of the
// OpenAPI document. Under /v1 it must also keep the domain's rules, and unknown fields are refused. The original's
// routes check no more than the original did: fields and types, and what no message could carry. What breaks a rule there
// is refused by its service, and the saga compensates.
//
// # Errors
//
// Every error is an application/problem+json document (RFC 9457), whose errors name the field and say what was expected; the values
// that were sent are not repeated, and nothing internal is told. A 503 after a command means that the broker did not confirm it in
// time: it may have been taken.
//
// # Numbers
//
// A budget is never a binary floating-point number: the original's routes read and write the JSON number's own digits, /v1
// uses text.
//
// # Logs
//
// Each request is one line with method, route, status, size and duration. Bodies, ids and query strings are not logged.
package web
