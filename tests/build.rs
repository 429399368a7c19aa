//! Builds the components that misbehave.

fn main() -> Result<(), standin_component_builder::BuildError> {
    standin_component_builder::build("standin-hostile", "hostile.wasm", &["tests/guests/hostile"])?;
    standin_component_builder::build("standin-policy-zoo", "zoo.wasm", &["tests/guests/policy-zoo"])?;
    Ok(())
}
