# The ledger, and the steps of its workflow.
package standin

ledger := "https://ledger.example.com"

permits contains {
	"rule": "ledger",
	"text": "the ledger's tokens are short",
	"scope": {"ledger:read", "ledger:write"},
	"max_ttl": 120,
} if {
	mint
	user
	both_here
	ledger in input.audience
}

denials contains {"rule": "ledger-alone", "text": "a token for the ledger is for nobody else"} if {
	ledger in input.audience
	count(input.audience) > 1
}

denials contains {"rule": "ledger-writes", "text": "only the step `approve` writes to the ledger"} if {
	ledger in input.audience
	"ledger:write" in input.scope
	not input.step == "approve"
}

permits contains {"rule": "approve", "text": "who approves has to prove it", "step_up": "urn:acme:acr:mfa"} if {
	mint
	user
	both_here
	input.step == "approve"
}
