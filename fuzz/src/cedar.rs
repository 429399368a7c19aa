//! The sources of a policy in Cedar, up to what `standin policy pack` packs.

use standin_policy_cedar::Engine;

use crate::sources;

/// Bundles are refused with places, or loaded whatever the order of their files, and decide the same each time.
pub fn holds(data: &[u8]) {
    if let Some(sources) = sources::of(data, "house.cedar") {
        let _loaded: Option<Engine> = sources::loaded(&sources);
    }
}
