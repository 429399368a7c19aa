//! The operator's file, `standin.toml`: raw, then checked.
