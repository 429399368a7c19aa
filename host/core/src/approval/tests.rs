//! What is approved, and what an approval covers.

mod covering;
mod identities;
mod proving;
mod steps;
