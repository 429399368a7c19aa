# Who may act for whom.
package standin

permits contains {"rule": "users", "text": "a service of the tenant may act for its users"} if {
	mint
	user
	both_here
	not input.subject.provisional
}

permits contains {"rule": "envoys", "text": "a service of the tenant may act for its envoys, briefly", "max_ttl": 120} if {
	mint
	input.subject.kind == "envoy"
	both_here
}

permits contains {
	"rule": "hosts",
	"text": "agents report for the machines they run on",
	"scope": {"metrics:write", "logs:write"},
	"max_ttl": 600,
} if {
	mint
	input.subject.kind == "host"
	caller_in("agents")
	both_here
}

permits contains {
	"rule": "provisional",
	"text": "onboarding may greet whom nobody knows yet",
	"scope": {"profile:read"},
	"max_ttl": 60,
} if {
	mint
	input.subject.kind == "provisional"
	input.subject.provisional
	caller_in("onboarding")
	subject_here
}

permits contains {"rule": "external", "text": "the partner's people may read", "scope": {"expenses:read"}} if {
	mint
	input.subject.kind == "external"
	caller_here
	input.subject.attributes.issuer == "https://idp.partner.example"
}

permits contains {"rule": "self", "text": "a client may get its own token elsewhere"} if {
	exchange
	input.subject.kind == "client"
	input.subject.id == input.caller.id
}

permits contains {"rule": "brokers", "text": "brokers may exchange for users", "max_ttl": 300} if {
	exchange
	user
	caller_in("brokers")
	subject_here
}

permits contains {
	"rule": "delegation",
	"text": "what the user granted may be used by the tenant's services",
	"max_ttl": 900,
} if {
	delegate
	user
	both_here
}

denials contains {"rule": "protected", "text": "protected users are for emergencies"} if {
	protected
	not caller_in("break-glass")
}

permits contains {
	"rule": "break-glass",
	"text": "emergencies need a strong authentication",
	"step_up": "urn:acme:acr:phr",
	"max_ttl": 60,
} if {
	mint
	user
	protected
	caller_in("break-glass")
}
