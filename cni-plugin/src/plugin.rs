//! What the plugin answers to the container runtime, by the specification of CNI 1.1.

use serde_json::{Value, json};
use std::{fs::File, path::Path};

use crate::ask::{Answer, ask};

/// Versions of the specification that are the same for a plugin that only passes results on.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// Codes of the specification: a configuration that makes no sense, and one that may work later.
const INVALID: u32 = 7;
const TRY_AGAIN: u32 = 11;

/// What goes to the runtime.
#[derive(Debug)]
pub struct Said {
    /// Whether the plugin ends well.
    pub success: bool,
    /// For standard output.
    pub text: String,
}

/// Does what the environment asks for; `configuration` is what stood on standard input. Blocks.
pub fn answer(environment: &dyn Fn(&str) -> String, configuration: &str) -> Said {
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
    let netns = environment("CNI_NETNS");
    // For a pod that is not the mesh's nobody needs it, so that it is for who is asked to say that it is missing.
    let namespace = File::open(&netns).inspect_err(|error| eprintln!("istio-cni: {netns} can't be opened: {error}")).ok();
    let question = json!({"netns": netns, "args": environment("CNI_ARGS")});
    match ask(Path::new(socket), &question, namespace.as_ref()) {
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
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::{
        fs,
        io::{IoSliceMut, Read, Write},
        mem::MaybeUninit,
        os::unix::net::{UnixListener, UnixStream},
        thread,
    };

    /// What the runtime gets for a network whose namespace has this file.
    fn run(command: &str, netns: &str, configuration: &Value) -> Said {
        let environment = |name: &str| match name {
            "CNI_COMMAND" => command.to_owned(),
            "CNI_NETNS" => netns.to_owned(),
            "CNI_ARGS" => "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web".to_owned(),
            _ => String::new(),
        };
        answer(&environment, &configuration.to_string())
    }

    fn json(said: &Said) -> Value {
        serde_json::from_str(&said.text).unwrap()
    }

    /// A question, and what is read from the descriptor that came with it.
    fn received(stream: &UnixStream) -> (Value, Option<String>) {
        let (mut text, mut read) = (vec![0; 4096], None);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
        for message in control.drain() {
            let RecvAncillaryMessage::ScmRights(descriptors) = message else { continue };
            for descriptor in descriptors {
                let mut content = String::new();
                File::from(descriptor).read_to_string(&mut content).unwrap();
                read = Some(content);
            }
        }
        let line = text[..length].strip_suffix(b"\n").expect("a whole line");
        (serde_json::from_slice(line).unwrap(), read)
    }

    /// What the runtime gets when somebody listens who answers so; and what he was asked, if he reads it.
    fn asked(netns: &str, answer: &'static str) -> (Said, (Value, Option<String>)) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cni.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let question = received(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
            question
        });
        let said = run("ADD", netns, &json!({"cniVersion": "0.4.0", "socket": socket, "prevResult": {"ips": [1]}}));
        (said, server.join().unwrap())
    }

    #[test]
    fn the_namespace_goes_with_the_question_and_the_result_of_the_plugins_before_is_passed_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a namespace").unwrap();
        let netns = file.path().to_str().unwrap();
        let (said, (question, namespace)) = asked(netns, "\"done\"\n");
        assert!(said.success);
        assert_eq!(json(&said), json!({"ips": [1]}));
        assert_eq!(question, json!({"netns": netns, "args": "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web"}));
        assert_eq!(namespace.as_deref(), Some("a namespace"));
    }

    #[test]
    fn who_is_asked_says_what_a_namespace_means_that_is_not_there() {
        let (said, (question, namespace)) = asked("/nonexistent/netns", "\"done\"\n");
        assert!(said.success, "a pod that is not the mesh's needs none");
        assert_eq!((&question["netns"], namespace), (&json!("/nonexistent/netns"), None));
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_can_be_tried_again() {
        let (said, _) = asked("/nonexistent/netns", "{\"failed\": \"no rules today\"}\n");
        assert!(!said.success);
        assert_eq!(json(&said), json!({"cniVersion": "0.4.0", "code": 11, "msg": "istio-cni: no rules today"}));
        let (said, _) = asked("/nonexistent/netns", "");
        assert!(!said.success, "who takes the question and says nothing has not done it");
    }

    #[test]
    fn while_nobody_listens_pods_start() {
        let said = run("ADD", "/", &json!({"cniVersion": "0.4.0", "socket": "/nonexistent/cni.sock", "prevResult": {"ips": []}}));
        assert!(said.success);
        assert_eq!(json(&said), json!({"ips": []}));
    }

    #[test]
    fn a_plugin_without_others_is_told_of() {
        assert_eq!(json(&run("ADD", "/", &json!({"socket": "/s"})))["code"], INVALID);
        assert_eq!(json(&run("ADD", "/", &json!({"prevResult": {}})))["code"], INVALID);
        assert_eq!(json(&run("", "/", &json!({})))["code"], INVALID);
    }

    #[test]
    fn what_undoes_a_network_has_nothing_to_do() {
        let said = run("DEL", "/", &json!({"cniVersion": "1.0.0"}));
        assert!(said.success && said.text.is_empty());
        assert_eq!(json(&run("VERSION", "/", &json!({"cniVersion": "1.0.0"})))["supportedVersions"], json!(VERSIONS));
    }
}
