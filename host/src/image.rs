//! Precompiled component images, cached on disk.
