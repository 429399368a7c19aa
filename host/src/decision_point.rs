//! Import `decision-point`: asks the live policy and keeps the approval.
