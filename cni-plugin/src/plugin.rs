//! What the plugin answers to the container runtime, by the specification of CNI 1.1.

use serde_json::{Value, json};
use std::path::Path;

use crate::ask::{Answer, ask};

/// Versions of the specification that are the same for a plugin that only passes results on.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// Codes of the specification: a configuration that makes no sense, and one that may work later.
const INVALID: u32 = 7;
const TRY_AGAIN: u32 = 11;

/// What goes to the runtime.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// Does what the environment asks for; `configuration` is what stood on standard input.
pub(crate) fn answer(environment: &dyn Fn(&str) -> String, configuration: &str) -> Said {
    let read: Value = match serde_json::from_str(configuration) {
        Ok(read) => read,
        Err(error) => return failure("1.0.0", INVALID, &format!("the configuration is no JSON: {error}")),
    };
    let version = read["cniVersion"].as_str().unwrap_or("1.0.0");
    match environment("CNI_COMMAND").as_str() {
        "VERSION" => success(&json!({"cniVersion": version, "supportedVersions": VERSIONS})),
        "ADD" => added(environment, &read, version),
        // What is redirected goes with the pod's network.
        "DEL" | "CHECK" | "GC" | "STATUS" => Said { success: true, text: String::new() },
        command => failure(version, INVALID, &format!("CNI_COMMAND {command:?} is unknown")),
    }
}

fn added(environment: &dyn Fn(&str) -> String, configuration: &Value, version: &str) -> Said {
    let before = &configuration["prevResult"];
    if before.is_null() {
        return failure(version, INVALID, "it needs a plugin before it in the chain, which makes the network");
    }
    let Some(socket) = configuration["socket"].as_str() else {
        return failure(version, INVALID, "the configuration names no socket");
    };
    let question = json!({"netns": environment("CNI_NETNS"), "args": environment("CNI_ARGS")});
    match ask(Path::new(socket), &question.to_string()) {
        Answer::Done => success(before),
        Answer::Nobody(error) => {
            eprintln!("istio-cni: nobody answers at {socket} ({error}): the pod is not redirected");
            success(before)
        }
        Answer::Failed(reason) => failure(version, TRY_AGAIN, &reason),
    }
}

fn success(result: &Value) -> Said {
    Said { success: true, text: result.to_string() }
}

fn failure(version: &str, code: u32, reason: &str) -> Said {
    Said { success: false, text: json!({"cniVersion": version, "code": code, "msg": format!("istio-cni: {reason}")}).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    fn run(command: &str, configuration: &Value) -> Said {
        let environment = |name: &str| match name {
            "CNI_COMMAND" => command.to_owned(),
            "CNI_NETNS" => "/var/run/netns/a".to_owned(),
            "CNI_ARGS" => "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web".to_owned(),
            _ => String::new(),
        };
        answer(&environment, &configuration.to_string())
    }

    fn json(said: &Said) -> Value {
        serde_json::from_str(&said.text).unwrap()
    }

    /// What a plugin is given when somebody listens who answers so; and what he was asked.
    fn asked(answer: &'static str) -> (Said, String) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cni.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = vec![0; 4096];
            let length = stream.read(&mut question).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&question[..length]).into_owned()
        });
        let said = run("ADD", &json!({"cniVersion": "0.4.0", "socket": socket, "prevResult": {"ips": [1]}}));
        (said, server.join().unwrap())
    }

    #[test]
    fn the_result_of_the_plugins_before_is_passed_on() {
        let (said, question) = asked("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert!(said.success);
        assert_eq!(json(&said), json!({"ips": [1]}));
        assert!(question.starts_with("POST /networks HTTP/1.1\r\n") && question.contains(r#""netns":"/var/run/netns/a""#), "{question}");
        assert!(question.contains("K8S_POD_NAME=web"), "{question}");
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_can_be_tried_again() {
        let (said, _) = asked("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\nno rules today");
        assert!(!said.success);
        assert_eq!(json(&said), json!({"cniVersion": "0.4.0", "code": 11, "msg": "istio-cni: no rules today"}));
        let (said, _) = asked("");
        assert!(!said.success, "who takes the question and says nothing has not done it");
    }

    #[test]
    fn while_nobody_listens_pods_start() {
        let said = run("ADD", &json!({"cniVersion": "0.4.0", "socket": "/nonexistent/cni.sock", "prevResult": {"ips": []}}));
        assert!(said.success);
        assert_eq!(json(&said), json!({"ips": []}));
    }

    #[test]
    fn a_plugin_without_others_is_told_of() {
        assert_eq!(json(&run("ADD", &json!({"socket": "/s"})))["code"], INVALID);
        assert_eq!(json(&run("ADD", &json!({"prevResult": {}})))["code"], INVALID);
        assert_eq!(json(&run("", &json!({})))["code"], INVALID);
    }

    #[test]
    fn what_undoes_a_network_has_nothing_to_do() {
        let said = run("DEL", &json!({"cniVersion": "1.0.0"}));
        assert!(said.success && said.text.is_empty());
        assert_eq!(json(&run("VERSION", &json!({"cniVersion": "1.0.0"})))["supportedVersions"], json!(VERSIONS));
    }
}
