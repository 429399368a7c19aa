//! Builds the component and the default policy, which the host embeds.

fn main() -> Result<(), standin_component_builder::BuildError> {
    standin_component_builder::build("standin-guest", "standin.wasm", &["guest/src", "guest/Cargo.toml"])?;
    standin_component_builder::build("standin-policy-baseline", "baseline.wasm", &["policies/baseline"])?;
    Ok(())
}
