//! Tests of the module of this name.
