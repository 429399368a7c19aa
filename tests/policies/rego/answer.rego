# What the rules of the other files come to. A permit is an object with the limits it sets; every permit that applies limits.
package standin

allow if count(permits) > 0

deny contains {"rule": denial.rule, "text": denial.text} if some denial in denials

reasons contains {"rule": permit.rule, "text": permit.text} if some permit in wanting

reasons contains {"rule": permit.rule, "text": permit.text} if {
	count(wanting) == 0
	some permit in permits
}

# Of several step-ups the first by name.
step_up := min({permit.step_up | some permit in wanting})

wanting contains permit if {
	some permit in permits
	permit.step_up != object.get(input.subject.attributes, "acr", "")
}

max_ttl := shortest if {
	some shortest in lifetimes
	every lifetime in lifetimes { shortest <= lifetime }
}

lifetimes := {permit.max_ttl | some permit in permits}

# Limits that several permits set leave what all of them leave.
scope := intersection(scopes) if count(scopes) > 0

scopes := {permit.scope | some permit in permits}

audience := intersection(audiences) if count(audiences) > 0

audiences := {permit.audience | some permit in permits}
