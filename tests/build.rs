//! Builds the components that misbehave.

use standin_component_builder::{BuildError, Component, build};

const COMPONENTS: [Component<'_>; 2] = [
    Component {
        package: "standin-hostile",
        purpose: "misbehaves as tests tell it",
        file: "hostile.wasm",
        inputs: &["tests/guests/hostile"],
        folder: "",
        hot: false,
    },
    Component {
        package: "standin-policy-zoo",
        purpose: "a policy that misbehaves as tests tell it",
        file: "zoo.wasm",
        inputs: &["tests/guests/policy-zoo"],
        folder: "",
        hot: false,
    },
];

fn main() -> Result<(), BuildError> {
    COMPONENTS.into_iter().try_for_each(|component| build(component).map(drop))
}
