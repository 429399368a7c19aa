//! Policy modules: loading, limits, judging.
