//! What any host of Standin has to know and to check, whatever it runs on: natively below wasmtime, or compiled to WebAssembly beside the
//! component. Nothing here waits, opens files or talks to anybody; time and randomness are ports ([`clock`]).

pub mod address;
pub mod approval;
pub mod claimed;
pub mod clock;
pub mod evidence;
pub mod hex;
pub mod json;
pub mod peer;
pub mod presented;
pub mod record;
pub mod registry;
