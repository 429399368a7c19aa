//! The exports of the component.

standin_policy_engine::export_engine!(crate::Engine);
