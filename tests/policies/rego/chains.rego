# Who acted before.
package standin

denials contains {"rule": "chain-length", "text": "more than three have acted before"} if count(input.chain) > 3

denials contains {"rule": "legacy-hop", "text": "what came through the legacy gateway goes no further"} if {
	"client:legacy" in input.chain
}

permits contains {
	"rule": "assistant-hop",
	"text": "on an assistant's word, reading only",
	"scope": {"expenses:read"},
	"max_ttl": 30,
} if {
	mint
	user
	both_here
	input.chain[0] == "client:assistant"
}

permits contains {
	"rule": "assistants",
	"text": "assistants do not write",
	"scope": {"expenses:read", "expenses:comment"},
} if {
	not exchange
	user
	caller_in("assistants")
	both_here
}
