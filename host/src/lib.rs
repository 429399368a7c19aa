//! Standin mints on-behalf-of tokens at the edge: this crate hosts the component and gives it keys, directory, registry, HTTP,
//! store and audit log.
//!
//! [`Standin::builder`] puts one together; [`Standin::mint_on_behalf`] mints, [`Standin::handle`] answers HTTP requests, and
//! [`Standin::resolve_target`] begins the three steps one by one.
//!
//! The host does not trust the component. The imports write what they have seen proven into [`evidence`]; [`decision_point`] runs
//! the policy and keeps an [`approval`] only of what that evidence bears out; [`keys`] compares the claims with the approval,
//! has the [`record`] written to the [`audit`] log, and only then signs.
//!
//! # A complete program
//!
//! ```
//! use standin::clock::{SystemClock, SystemEntropy};
//! use standin::config::Config;
//! use standin::directory::import::{Mode, import};
//! use standin::sqlite::Database;
//! use standin::types::{Credential, Descriptor, IdType, Request, Subject};
//! use standin::{Standin, keys};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let config = Config::parse(
//!     r#"
//!         issuer = "https://obo.example.com"
//!         [[client]]
//!         id = "my-gateway"
//!         attested = true                    # this program vouches for it
//!         tenants = ["acme"]
//!         subjects = ["user"]
//!         audiences = ["https://api.example.com"]
//!         scopes = ["expenses:read"]
//!         [[audience]]
//!         id = "https://api.example.com"
//!     "#,
//!     folder.path(),
//! )?;
//! keys::files::generate(&config.keys.dir, &config.keys.algorithms, &SystemClock::default(), &SystemEntropy)?;
//! let people = r#"{
//!     "accounts": [{ "id": "acme-eu", "tenant": "acme" }],
//!     "users": [{ "id": "u-1", "email": "alice@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu" }],
//!     "hosts": []
//! }"#;
//! import(&Database::create(&config.directory)?, people.as_bytes(), Mode::Upsert)?;
//!
//! let standin = Standin::builder().config(config).build().await?;
//! let request = Request {
//!     correlation_id: String::new(),
//!     caller: Credential::Attested("my-gateway".into()),
//!     subject: Subject::Descriptor(Descriptor {
//!         id_type: IdType::User,
//!         id: "email.alice@example.com".into(),
//!         account_id: None,
//!         account_csp_id: None,
//!         sfdc_account_id: None,
//!     }),
//!     actor: None,
//!     audience: vec!["https://api.example.com".into()],
//!     resource: vec![],
//!     scope: vec!["expenses:read".into()],
//!     requested_token_type: None,
//!     requested_ttl: Some(60),
//!     step: None,
//!     dpop: None,
//!     attributes: vec![],
//! };
//! let minted = standin.mint_on_behalf(request).await.map_err(|failure| failure.code)?;
//! assert_eq!((minted.token_type.as_str(), minted.expires_in), ("Bearer", 60));
//! standin.close().await?;
//! # Ok(())
//! # })
//! # }
//! ```

pub mod audit;
pub mod bindings;
pub mod bounded;
mod builder;
mod call;
pub mod clock;
pub mod config;
pub mod decision_point;
pub mod directory;
mod door;
pub mod engine;
pub mod guard;
mod guessing;
pub mod http;
pub mod image;
pub mod keys;
pub mod policy;
pub mod registry;

pub mod replay;
mod secret;
pub mod server;
mod shared;
pub mod sqlite;
mod standin;
mod state;
pub mod store;
pub mod tape;
mod threads;

use standin_core::{address, claimed, hex};
#[doc(inline)]
pub use standin_core::{approval, evidence, json, peer, presented, record};
pub use standin_domain::flow::JWT as JWT_TYPE;

pub use crate::bindings::{endpoint, obo, types};
pub use crate::builder::{
    AUDIT_SEAL, BuildError, Builder, COMPONENT, LoadError, Unusable, inspect, key_folder, key_retention, log_options,
    policy_trust,
};
pub use crate::call::{Decision, Permit, Target};
pub use crate::shared::Snapshot;
pub use crate::standin::{NotReady, Standin, account_of_token, attribute, explained_failure, failure_members};
