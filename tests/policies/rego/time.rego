# When. Hours are UTC.
package standin

hour := floor((input.now % 86400) / 3600)

# 1 is Monday; the epoch was a Thursday.
weekday := ((floor(input.now / 86400) + 3) % 7) + 1

working_hours if {
	weekday <= 5
	hour >= 8
	hour < 18
}

fresh if input.now - input.subject.attributes.auth_time <= 3600

denials contains {"rule": "payroll-hours", "text": "payroll runs on workdays from 8 to 18"} if {
	"payroll:run" in input.scope
	not working_hours
}

denials contains {"rule": "payroll-fresh", "text": "payroll needs an authentication of the last hour"} if {
	"payroll:run" in input.scope
	not fresh
}

denials contains {"rule": "embargo", "text": "the launch is on 2026-01-01"} if {
	"https://launch.example.com" in input.audience
	input.now < 1767225600
}
