# What the edge and the directory say.
package standin

denials contains {"rule": "countries", "text": "no tokens for requests from this country"} if {
	input.edge.country in {"XX", "YY"}
}

denials contains {"rule": "managed-devices", "text": "writing needs a managed device"} if {
	"budget:write" in input.scope
	not input.edge.managed == true
}

denials contains {"rule": "finance", "text": "budgets are the finance department's"} if {
	"budget:write" in input.scope
	not input.subject.attributes.department == "finance"
}

denials contains {"rule": "long-lived", "text": "nothing lives longer than an hour"} if input.ttl > 3600
