//! Every metric from the start, at 0: what appears only with the first event cannot be told from what is not counted, and an alert on
//! its increase misses that first event.

use crate::config::Config;
use crate::policy::{PLATFORM, tenant_slot};

/// Begins every metric whose labels are known before anything happens, in the recorder that is installed.
pub fn begin(config: &Config) {
    begin_named(config);
    for status in ["2xx", "4xx", "5xx", "other"] {
        metrics::counter!("standin_http_responses_total", "status" => status).increment(0);
    }
    for outcome in ["done", "refused"] {
        metrics::counter!("standin_reloads_total", "outcome" => outcome).increment(0);
        metrics::counter!("standin_policy_swaps_total", "outcome" => outcome).increment(0);
        metrics::counter!("standin_tls_reloads_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["written", "dropped", "too_long", "failed", "deleted"] {
        metrics::counter!("standin_tapes_total", "outcome" => outcome).increment(0);
    }
    metrics::counter!("standin_http_retry_after_total").increment(0);
    metrics::counter!("standin_connections_dropped_total").increment(0);
    metrics::counter!("standin_connections_refused_total").increment(0);
    metrics::counter!("standin_admin_refused_total").increment(0);
    metrics::counter!("standin_callers_throttled_total").increment(0);
    metrics::gauge!("standin_policy_refused").set(0.0);
    // A histogram is there as soon as somebody holds it.
    let _seconds = metrics::histogram!("standin_http_request_seconds");
}

/// Begins those whose labels a configuration names; again with each that is taken up.
pub fn begin_named(config: &Config) {
    // Failures that name nobody who is registered have no name.
    for client in config.clients.iter().map(|registered| registered.client.id.as_str()).chain([""]) {
        metrics::counter!("standin_caller_failures_total", "client" => client.to_owned()).increment(0);
    }
    let tenants = config.policy.tenants.iter().map(|tenant| tenant_slot(&tenant.tenant));
    for slot in tenants.chain([PLATFORM.to_owned()]) {
        for outcome in ["same", "differs", "dropped"] {
            metrics::counter!("standin_policy_shadow_total", "slot" => slot.clone(), "outcome" => outcome).increment(0);
        }
        metrics::counter!("standin_policy_breaker_opened_total", "slot" => slot).increment(0);
    }
}
