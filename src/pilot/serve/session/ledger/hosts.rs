//! The account of virtual hosts that are sent by themselves. A proxy asks for them without names, and takes those of the tables that it
//! has: what comes before its table is lost on it, and with a table that it gets as a new one it has no hosts yet.

use std::sync::Arc;

use super::{Account, Held, Ledger, Owed};
use crate::compile::{Compiled, table_and_host};
use crate::pilot::serve::session::names::Names;

/// What stands for the hosts of a table that has none: a proxy waits for a table's first hosts, and learns by this that there are none.
fn no_host_of(table: &str) -> Arc<str> {
    format!("{table}/").into()
}

fn is_of(name: &str, table: &str) -> bool {
    table_and_host(name).is_some_and(|(own, _)| own == table)
}

/// What a proxy misses that has these tables, and nothing else.
pub(super) fn missed(current: &Compiled, tables: &Names) -> Account {
    let mut account = Account::new();
    for table in tables {
        let before = account.len();
        account.extend(current.hosts_of(table).map(|host| (host.name.clone(), Owed::missed(host))));
        if account.len() == before {
            account.insert(no_host_of(table), Owed::anew(None));
        }
    }
    account
}

impl Ledger {
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
                self.account().insert(host.name.clone(), Owed::anew(Some(host.clone())));
            }
        }
        if none && new {
            self.account().insert(no_host_of(table), Owed::anew(None));
        }
    }

    /// The proxy does not want a table any more. It must not go on remembering hosts of it: should it come back after the table did, it
    /// would seem to have them.
    pub(in crate::pilot::serve::session) fn table_is_dropped(&mut self, table: &str, current: Option<&Compiled>) {
        if !self.subscription.remove_table(table) || !self.is_subscribed() {
            return;
        }
        self.rejected.retain(|name, _| !is_of(name, table));
        let account = self.account();
        account.retain(|name, _| !is_of(name, table));
        let hosts = current.into_iter().flat_map(|current| current.hosts_of(table));
        account.extend(hosts.map(|host| (host.name.clone(), Owed { held: Held::Form(host.hash), due: None })));
    }
}
