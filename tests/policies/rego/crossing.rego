# From one tenant into another: one direction, one audience, reading only.
package standin

crossing_from := input.attributes["cross_tenant.from"]

joined if {
	crossing_from == "acme"
	input.tenant == "globex"
}

denials contains {"rule": "crossing", "text": "these tenants are not joined in this direction"} if {
	crossing_from
	not joined
}

permits contains {
	"rule": "crossing-acme-globex",
	"text": "acme may read at globex",
	"scope": {"expenses:read"},
	"audience": {"https://api.example.com"},
	"max_ttl": 60,
} if {
	mint
	user
	crossing_from == "acme"
	"acme" in input.caller.tenants
	"globex" in input.subject.tenants
}
