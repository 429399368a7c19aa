//! What a reload cannot change: it was put to use at the start, and is in use until the end.

use super::{Config, Limits, SigningKeys};

impl Config {
    /// The same without its registrations, which may be many: enough to hold a later one against.
    pub(crate) fn without_registrations(self) -> Self {
        Self { clients: Vec::new(), issuers: Vec::new(), audiences: Vec::new(), ..self }
    }

    /// The keys and sections that `new` changes and only a restart can change.
    pub(crate) fn needing_restart(&self, new: &Self) -> Vec<&'static str> {
        // Taken apart, so that whoever adds a key says here whether a reload can change it.
        let Self {
            issuer,
            listen,
            keys: SigningKeys { dir, algorithms: _ },
            directory,
            store,
            audit,
            limits,
            policy: _,
            admin,
            record,
            runtime,
            server,
            timeouts,
            clients: _,
            issuers: _,
            audiences: _,
            providers,
        } = self;
        let Limits {
            default_ttl: _,
            max_ttl: _,
            max_chain: _,
            max_in_flight,
            caller_failures,
            max_token: _,
            max_depth: _,
            max_body,
        } = limits;
        let unchanged = [
            ("issuer", *issuer == new.issuer),
            ("listen", *listen == new.listen),
            // The heads of audit log and image cache are sealed under this folder.
            ("keys.dir", *dir == new.keys.dir),
            ("directory", *directory == new.directory),
            ("store", *store == new.store),
            ("audit", *audit == new.audit),
            ("limits.max_in_flight", *max_in_flight == new.limits.max_in_flight),
            ("limits.caller_failures", *caller_failures == new.limits.caller_failures),
            ("limits.max_body (where it is not given it goes with limits.max_token)", *max_body == new.limits.max_body),
            ("admin", *admin == new.admin),
            ("record", *record == new.record),
            ("runtime", *runtime == new.runtime),
            ("server", *server == new.server),
            ("timeouts", *timeouts == new.timeouts),
            ("provider", *providers == new.providers),
        ];
        unchanged.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}
