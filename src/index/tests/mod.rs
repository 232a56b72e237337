//! Tests of the index: how things join (without a cluster), that changes are exact (by chance), and how watches feed it.

mod exactness;
mod joins;
mod objects;
mod outside;
mod secrets;
mod watches;
