//! ferromesh
