//! The account of virtual hosts that are sent by themselves. A proxy asks for them without names, and takes those of the tables that it
//! has: what comes before its table is lost on it, and with a table that it gets as a new one it has no hosts yet.

use std::{collections::BTreeMap, sync::Arc};

use super::{Held, Ledger, Owed};
use crate::compile::{Compiled, table_and_host};

/// What stands for the hosts of a table that has none: a proxy waits for a table's first hosts, and learns by this that there are none.
fn no_host_of(table: &str) -> Arc<str> {
    format!("{table}/").into()
}

fn is_of(name: &str, table: &str) -> bool {
    table_and_host(name).is_some_and(|(own, _)| own == table)
}

impl Ledger {
    /// The proxy wants to hear of hosts. `held` are the versions that it brought along.
    pub(super) fn subscribe_to_hosts(&mut self, held: BTreeMap<String, String>, current: Option<&Compiled>) {
        if !self.subscription.begin() {
            return;
        }
        self.brought = Some(held.into_iter().map(|(name, version)| (name.into(), Held::of_version(&version))).collect());
        if let Some(current) = current {
            self.begin_hosts(current);
        }
    }

    /// Begins the account with what the proxy brought along, for the tables that it has by now. Hosts of other tables it remembers, but
    /// can't use.
    pub(super) fn begin_hosts(&mut self, current: &Compiled) {
        for (name, held) in self.brought.take().into_iter().flatten() {
            self.owed.insert(name, Owed { held, due: None });
        }
        let tables: Vec<Arc<str>> = self.subscription.tables().cloned().collect();
        for table in tables {
            let mut none = true;
            for host in current.hosts_of(&table) {
                none = false;
                self.owed.entry(host.name.clone()).or_insert(Owed { held: Held::Nothing, due: None }).due = Some(host.clone());
            }
            if none {
                self.owed.insert(no_host_of(&table), Owed { held: Held::Unknown, due: None });
            }
        }
    }

    /// The proxy has a table from before, with the hosts whose versions it brings along.
    pub(in crate::pilot::serve::session) fn table_is_held(&mut self, table: Arc<str>) {
        self.subscription.add_table(table);
    }

    /// The proxy is sent a table. If it is `new` to the proxy it has no hosts. Otherwise those that it has stay, and what it refused beside
    /// the table of before, it may take now.
    pub(in crate::pilot::serve::session) fn table_is_sent(&mut self, table: &Arc<str>, new: bool, current: &Compiled) {
        self.subscription.add_table(table.clone());
        if !self.is_subscribed() {
            return;
        }
        let mut none = true;
        for host in current.hosts_of(table) {
            none = false;
            if self.rejected.remove(&host.name).is_some() || new {
                self.owed.insert(host.name.clone(), Owed { held: Held::Unknown, due: Some(host.clone()) });
            }
        }
        if none && new {
            self.owed.insert(no_host_of(table), Owed { held: Held::Unknown, due: None });
        }
    }

    /// The proxy does not want a table any more. It must not go on remembering hosts of it: should it come back after the table did, it
    /// would seem to have them.
    pub(in crate::pilot::serve::session) fn table_is_dropped(&mut self, table: &str, current: Option<&Compiled>) {
        if !self.subscription.remove_table(table) || !self.is_subscribed() {
            return;
        }
        self.rejected.retain(|name, _| !is_of(name, table));
        self.owed.retain(|name, _| !is_of(name, table));
        for host in current.into_iter().flat_map(|current| current.hosts_of(table)) {
            self.owed.insert(host.name.clone(), Owed { held: Held::Form(host.hash), due: None });
        }
    }
}
