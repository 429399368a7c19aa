//! The values of the contract in `wit/` that the domain speaks of: plain types of the same shape, a file an interface.
//!
//! Generated bindings of the component are told to use these (`with` of wit-bindgen), and with the feature `wasmtime` they cross a sandbox's
//! border on the host's side and can be written down, so nothing is copied between a request's values and the domain's.
//! Where a shape here is not the contract's, the component does not compile; the order of an enumeration's cases is held to by a test.

pub mod decision_point;
pub mod directory;
pub mod endpoint;
pub mod keys;
mod redacted;
pub mod registry;
pub mod types;

pub use self::decision_point::JudgeError;
pub use self::directory::{Account, AccountKey, ApiKey, DirectoryError, Machine, MachineKey, State, User, UserKey};
pub use self::endpoint::{HttpRequest, HttpResponse};
pub use self::keys::{KeyError, KeySource, Purpose, Verified};
pub use self::registry::{Audience, Client, Issuer, IssuerRole, ScopeMode, Step, SubjectKind, SubjectMapping, System};
pub use self::types::{
    Allowance, Attribute, Certificate, ClientSecret, Credential, Descriptor, DpopProof, Effect, Failure, IdType, Input, Minted,
    Party, Reason, Request, Seconds, StoredDelegation, Subject, Timestamp, Token, Verdict,
};

/// What bindings make an enumeration of from its case's number. The canonical ABI has let no number through that is no case's, so what is
/// none of the others is the last.
macro_rules! enumerations {
    ($($name:ident { $($case:ident = $number:literal),*; $last:ident })*) => {$(
        impl $name {
            #[doc(hidden)]
            pub const fn _lift(number: u8) -> Self {
                match number {
                    $($number => Self::$case,)*
                    _ => Self::$last,
                }
            }
        }
    )*};
}

/// Written with their type's name, as the audit record has them for a cause: `KeyError::Malformed`.
macro_rules! causes {
    ($name:ident { $($bare:ident),*; $($full:ident),* }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$bare => f.write_str(concat!(stringify!($name), "::", stringify!($bare))),)*
                    $(Self::$full(value) => f.debug_tuple(concat!(stringify!($name), "::", stringify!($full))).field(value).finish(),)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self:?}")
            }
        }

        impl std::error::Error for $name {}
    };
}

use {causes, enumerations};

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of an enumeration as `wit/` has them, in their order.
    fn cases(name: &str) -> Vec<String> {
        let read = |file| std::fs::read_to_string(format!("{}/../../wit/{file}.wit", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let contract = ["types", "host"].map(read).concat();
        let (_, rest) = contract.split_once(&format!("enum {name} {{")).unwrap();
        let (list, _) = rest.split_once('}').unwrap();
        let list: String = list.lines().filter(|line| !line.trim_start().starts_with("///")).collect();
        let camel = |part: &str| part[..1].to_uppercase() + &part[1..];
        list.split(',').map(|case| case.trim().split('-').map(camel).collect()).collect()
    }

    fn named<T: std::fmt::Debug, const N: usize>(values: [T; N]) -> Vec<String> {
        values.iter().map(|value| format!("{value:?}")).collect()
    }

    #[test]
    fn a_number_is_the_case_that_stands_there() {
        assert_eq!(named([0, 1, 2].map(State::_lift)), cases("state"));
        assert_eq!(named([0, 1, 2].map(IdType::_lift)), cases("id-type"));
        assert_eq!(named([0, 1].map(ScopeMode::_lift)), cases("scope-mode"));
        assert_eq!(named([0, 1].map(IssuerRole::_lift)), cases("issuer-role"));
        assert_eq!(named([0, 1, 2, 3, 4, 5].map(SubjectKind::_lift)), cases("subject-kind"));
        let purposes = [Purpose::AccessToken, Purpose::TransactionToken, Purpose::IdJag, Purpose::Introspection];
        assert_eq!(named(purposes), cases("purpose"));
        assert_eq!(purposes.map(|purpose| purpose as u8), [0, 1, 2, 3]);
    }

    #[test]
    fn a_cause_is_recorded_with_its_types_name() {
        assert_eq!(format!("{:?}", KeyError::Malformed), "KeyError::Malformed");
        assert_eq!(format!("{:?}", KeyError::Refused("sub".into())), r#"KeyError::Refused("sub")"#);
        assert_eq!(format!("{:?}", JudgeError::Other(None)), "JudgeError::Other(None)");
        assert_eq!(format!("{:?}", DirectoryError::Unavailable), "DirectoryError::Unavailable");
    }
}
