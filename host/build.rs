//! Builds the component, the default policy and the engine that policies are packed with, which the host embeds.

fn main() -> Result<(), standin_component_builder::BuildError> {
    standin_component_builder::build("standin-guest", "standin.wasm", &["guest/src", "guest/Cargo.toml"])?;
    standin_component_builder::build("standin-policy-baseline", "baseline.wasm", &["policies/baseline"])?;
    standin_component_builder::build("standin-policy-cedar", "cedar.wasm", &["policies/cedar/src", "policies/cedar/Cargo.toml"])?;
    Ok(())
}
