//! Builds the component, the default policy and where the feature `policy-engines` is on the engines that policies
//! are packed with, which the host embeds.

use std::thread;

use standin_component_builder::{BuildError, Component, build};

const SMALL: [Component<'_>; 2] = [
    Component {
        package: "standin-guest",
        purpose: "decides and mints",
        file: "standin.wasm",
        inputs: &["guest/src", "guest/Cargo.toml", "guest/domain"],
        folder: "",
        hot: true,
    },
    Component {
        package: "standin-policy-baseline",
        purpose: "the default policy",
        file: "baseline.wasm",
        inputs: &["policies/baseline"],
        folder: "",
        hot: true,
    },
];

const ENGINES: [Component<'_>; 2] = [
    Component {
        package: "standin-policy-cedar",
        purpose: "makes modules of Cedar policies, for `standin policy pack`; takes minutes",
        file: "cedar.wasm",
        inputs: &["policies/engine", "policies/cedar/src", "policies/cedar/Cargo.toml"],
        folder: "",
        hot: false,
    },
    Component {
        package: "standin-policy-rego",
        purpose: "makes modules of Rego policies, for `standin policy pack`; takes minutes",
        file: "rego.wasm",
        inputs: &["policies/engine", "policies/rego/src", "policies/rego/Cargo.toml"],
        folder: "rego",
        hot: false,
    },
];

fn main() -> Result<(), BuildError> {
    SMALL.into_iter().try_for_each(|component| build(component).map(drop))?;
    if !cfg!(feature = "policy-engines") {
        return Ok(());
    }
    // Most of an engine's build is one thread that optimises all of it.
    thread::scope(|scope| {
        let [cedar, rego] = ENGINES.map(|engine| scope.spawn(move || build(engine)));
        [cedar, rego].into_iter().try_for_each(|engine| engine.join().unwrap_or(Err(BuildError::Ended)).map(drop))
    })
}
