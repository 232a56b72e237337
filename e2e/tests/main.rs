//! The mesh as its users see it, on a real cluster. `ferromesh_e2e` is what these tests stand on.
//!
//! Tests run in the order of their names, one at a time: the mesh is installed for the first and removed by the last.

mod addons;
mod availability;
mod bookinfo;
mod capture;
mod certificate;
mod cni;
mod command_line;
mod conformance;
mod creators;
mod distribution;
mod drift;
mod egress;
mod galley;
mod injector;
mod install;
mod installation;
mod load;
mod looking_in;
mod mtls;
mod older_build;
mod page;
mod probes;
mod programmed;
mod refusals;
mod revisions;
mod rolling;
mod secrets;
mod shop;
mod traffic;
mod tutorials;
mod uninstall;
mod upgrade;
mod walk;
