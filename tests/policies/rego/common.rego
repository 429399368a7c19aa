# Who is where, and what would be done.
package standin

mint if input.flow in {"local", "none"}

exchange if input.flow in {"exchange", "client-credentials"}

delegate if input.flow == "delegation"

caller_here if input.tenant in input.caller.tenants

subject_here if input.tenant in input.subject.tenants

both_here if {
	caller_here
	subject_here
}

user if input.subject.kind == "user"

# What the bundle knows of clients: data.json.
caller_in(group) if input.caller.id in data.groups[group]

protected if input.subject.attributes.protected
