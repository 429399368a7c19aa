use super::*;

#[test]
fn limits_out_of_range_are_refused() {
    let default = RuntimeOptions::default;
    for options in [
        RuntimeOptions { memory: 1024, ..default() },
        RuntimeOptions { memory: MAX_MEMORY + 1, ..default() },
        RuntimeOptions { cpu: Duration::ZERO, ..default() },
        RuntimeOptions { slots: 0, ..default() },
        RuntimeOptions { slots: MAX_SLOTS + 1, ..default() },
        RuntimeOptions { ahead: MAX_SLOTS + 1, ..default() },
    ] {
        assert!(matches!(Runtime::new(options), Err(EngineError::Limits)), "{options:?}");
    }
}

#[test]
fn the_pool_is_used_where_there_is_address_space() {
    assert!(Runtime::new(RuntimeOptions::default()).unwrap().pooled);
}

#[test]
fn the_largest_pool_fits_or_is_done_without() {
    let options = RuntimeOptions { slots: MAX_SLOTS, ahead: MAX_SLOTS, ..RuntimeOptions::default() };
    Runtime::new(options).unwrap();
}
