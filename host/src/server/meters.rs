//! Every metric from the start, at 0: what appears only with the first event cannot be told from what is not counted, and an alert on
//! its increase misses that first event.

/// Begins every metric whose labels are known before anything happens, in the recorder that is installed; `clients` are those
/// that are registered.
pub fn begin<'a>(clients: impl IntoIterator<Item = &'a str>) {
    for client in clients {
        metrics::counter!("standin_caller_failures_total", "client" => client.to_owned()).increment(0);
    }
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
    for outcome in ["same", "differs", "dropped"] {
        metrics::counter!("standin_policy_shadow_total", "slot" => crate::policy::PLATFORM, "outcome" => outcome).increment(0);
    }
    metrics::counter!("standin_http_retry_after_total").increment(0);
    metrics::counter!("standin_connections_dropped_total").increment(0);
    metrics::counter!("standin_connections_refused_total").increment(0);
    metrics::counter!("standin_policy_breaker_opened_total", "slot" => crate::policy::PLATFORM).increment(0);
    metrics::counter!("standin_admin_refused_total").increment(0);
    metrics::counter!("standin_callers_throttled_total").increment(0);
    metrics::gauge!("standin_policy_refused").set(0.0);
    // A histogram is there as soon as somebody holds it.
    let _seconds = metrics::histogram!("standin_http_request_seconds");
}
