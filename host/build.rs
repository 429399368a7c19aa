//! Builds the component, the default policy and the engines that policies are packed with, which the host embeds.

fn main() -> Result<(), standin_component_builder::BuildError> {
    standin_component_builder::build("standin-guest", "standin.wasm", &["guest/src", "guest/Cargo.toml"])?;
    standin_component_builder::build("standin-policy-baseline", "baseline.wasm", &["policies/baseline"])?;
    for engine in ["cedar", "rego"] {
        let (package, folder) = (format!("standin-policy-{engine}"), format!("policies/{engine}"));
        let inputs = ["policies/engine", &format!("{folder}/src"), &format!("{folder}/Cargo.toml")];
        standin_component_builder::build(&package, &format!("{engine}.wasm"), &inputs)?;
    }
    Ok(())
}
