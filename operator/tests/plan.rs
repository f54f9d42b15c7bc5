//! The command `plan` as a person or a script sees it: what it prints, where, and with which exit code.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Four brokers in two racks; broker 3 is new, and `orders` lies on the others.
const GROWN: &str = r#"{
  "brokers": [{"id": 0, "rack": "a"}, {"id": 1, "rack": "b"}, {"id": 2, "rack": "a"}, {"id": 3, "rack": "b"}],
  "partitions": [
    {"topic": "orders", "partition": 0, "replicas": [0, 1], "bytes": 1048576},
    {"topic": "orders", "partition": 1, "replicas": [1, 2], "bytes": 1048576},
    {"topic": "orders", "partition": 2, "replicas": [2, 1], "bytes": 1048576},
    {"topic": "orders", "partition": 3, "replicas": [0, 1], "bytes": 1048576}
  ]
}"#;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

struct Shell(TempDir);

impl Shell {
    fn new() -> Shell {
        Shell(TempDir::new().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("write a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("read a file")
    }

    /// Runs `ottla-operator plan` with these words, which name files of the folder as they are.
    fn plan(&self, words: &str) -> Said {
        said(self.command(words).output().expect("the program runs"))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla-operator"));
        command.current_dir(self.0.path()).arg("plan").args(words.split_whitespace());
        command
    }
}

fn said(output: Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn a_plan_is_a_table_with_bounds_balance_brokers_and_partitions() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    let said = shell.plan("--from model.json");
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""), "{}", said.out);
    for line in [
        "4 brokers, 4 partitions, 8 replicas",
        "PLAN                      PLANNED     AT LEAST",
        "replicas to copy                2            2",
        "bytes to copy             2.0 MiB      2.0 MiB   of them 1.0 MiB from another rack",
        "replicas                    2.000        1.000          1.000",
        "traffic                 not known",
        "rack violations                 0            0",
        "BROKER  RACK  STATE  REPLICAS  LEADERS",
        "kafka-reassign-partitions --bootstrap-server HOST:PORT --reassignment-json-file plan.json --execute",
    ] {
        assert!(said.out.contains(line), "{line:?} is missing in\n{}", said.out);
    }
    assert!(!said.out.contains("--all"), "nothing was left out:\n{}", said.out);
}

#[test]
fn the_plan_file_leads_there_and_the_rollback_file_back() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    let said = shell.plan("--from model.json -o json --write-plan p --write-rollback r --write-model m");
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (said.code, told["outcome"].as_str(), told["moves"].as_i64()),
        (Some(2), Some("plan"), Some(2))
    );
    let lists = |name: &str, key: &str| {
        let file: Value = serde_json::from_str(&shell.read(name)).expect("JSON");
        let steps = told["partitions"].as_array().expect("a list").iter();
        let expected: Vec<&Value> = steps.map(|step| &step[key]).collect();
        let found = file["partitions"].as_array().expect("a list").clone();
        assert_eq!(found.iter().map(|entry| &entry["replicas"]).collect::<Vec<_>>(), expected);
    };
    lists("p", "target");
    lists("r", "original");
    assert_eq!(shell.plan("--from m --output kafka").out, shell.read("p"));
    assert_eq!(shell.plan("--from m --output rollback").out, shell.read("r"));
}

#[test]
fn an_executed_plan_leaves_nothing_to_do() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    let told: Value = serde_json::from_str(&shell.plan("--from model.json -o json").out).expect("JSON");
    let mut model: Value = serde_json::from_str(GROWN).expect("JSON");
    for step in told["partitions"].as_array().expect("a list") {
        let at = step["partition"].as_u64().expect("a number") as usize;
        model["partitions"][at]["replicas"] = step["target"].clone();
    }
    shell.write("after.json", &model.to_string());
    let said = shell.plan("--from after.json");
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("Balanced: there is nothing to do."), "{}", said.out);
}

#[test]
fn reasons_are_told_on_request() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    let said = shell.plan("--from model.json --drain 2 --explain");
    assert_eq!(said.code, Some(2));
    assert!(said.out.contains("    broker 2 is draining"), "{}", said.out);
    let told: Value =
        serde_json::from_str(&shell.plan("--from model.json --drain 2 --explain -o json").out).expect("JSON");
    assert!(told["partitions"][0]["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{told}");
}

#[test]
fn what_cannot_be_planned_is_explained_by_partition() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    let said = shell.plan("--from model.json --drain 1,2,3");
    assert_eq!(said.code, Some(3));
    assert!(said.out.contains("There can be no plan, for 4 reasons:"), "{}", said.out);
    assert!(said.out.contains("  orders-3 wants 2 replicas, but only 1 brokers stay"), "{}", said.out);
    assert!(said.out.contains("ask for fewer replicas"), "{}", said.out);
    let said = shell.plan("--from model.json --drain 1,2,3 -o json");
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((said.code, told["problems"].as_array().map(Vec::len)), (Some(3), Some(4)));
    let said = shell.plan("--from model.json --drain 1,2,3 -o kafka");
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "a file is a plan or nothing");
    assert!(said.err.contains("orders-3"), "{}", said.err);
}

#[test]
fn a_broken_file_is_told_by_line_and_column() {
    let shell = Shell::new();
    shell.write("empty", " \n");
    shell.write("broken", "{\"brokers\": [],\n \"partitions\": [1,]}");
    shell.write("kafka", r#"{"version": 1, "partitions": []}"#);
    for (words, expected) in [
        ("--from empty", "empty is no model (--help shows the form): it is empty"),
        ("--from broken", "at line 2 column 17"),
        ("--from kafka", "unknown field `version`"),
        ("--from none", "read none: No such file or directory"),
    ] {
        let said = shell.plan(words);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{words}");
        assert!(said.err.contains(expected), "{words}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{words}: {}", said.err);
    }
}

#[test]
fn wrong_arguments_end_with_1_because_2_means_a_plan() {
    let shell = Shell::new();
    shell.write("model.json", GROWN);
    for (words, expected) in [
        ("", "--from <MODEL.json>|--bootstrap <HOST:PORT,...>"),
        ("--from model.json --bootstrap a:1", "cannot be used with"),
        ("--from model.json --bytes-max 3GB", "the units of a size are KiB, MiB, GiB and TiB"),
        ("--from model.json --drain 9", "--drain 9: there is no such broker, only 0, 1, 2, 3"),
        ("--from model.json --explain -o kafka", "--explain goes with --output table or json"),
        ("--bootstrap kafka", "a broker is given as HOST:PORT"),
    ] {
        let said = shell.plan(words);
        assert_eq!(said.code, Some(1), "{words}");
        assert!(said.err.contains(expected), "{words}: {}", said.err);
    }
    assert_eq!(shell.plan("--help").code, Some(0));
}

#[test]
fn a_cluster_that_does_not_answer_is_given_up_in_time() {
    let shell = Shell::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = silent.local_addr().expect("bound").port();
    let said = shell.plan(&format!("--bootstrap 127.0.0.1:{port} --timeout 1"));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(&format!("127.0.0.1:{port} gave no answer in 1000 ms")), "{}", said.err);
    drop(silent);
    let said = shell.plan(&format!("--bootstrap 127.0.0.1:{port}"));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot be reached: Connection refused"), "{}", said.err);
    assert!(said.err.contains("plaintext listener"), "{}", said.err);
}

#[test]
fn large_clusters_are_shown_in_part_unless_all_is_asked_for() {
    let shell = Shell::new();
    let brokers: Vec<String> = (0..60).map(|id| format!(r#"{{"id": {id}}}"#)).collect();
    let partition =
        |index| format!(r#"{{"topic": "t", "partition": {index}, "replicas": [{}]}}"#, index % 30);
    let partitions: Vec<String> = (0..120).map(partition).collect();
    let model =
        format!(r#"{{"brokers": [{}], "partitions": [{}]}}"#, brokers.join(","), partitions.join(","));
    shell.write("model.json", &model);
    let part = shell.plan("--from model.json").out;
    assert!(part.contains("and 36 more brokers, whose loads change less"), "{part}");
    assert!(part.contains("and 40 more partitions") && part.contains("(--all shows every row)"), "{part}");
    let all = shell.plan("--from model.json --all").out;
    assert!(all.lines().count() > 120 && !all.contains("more partitions"), "{all}");
}

#[test]
fn a_model_may_come_from_the_standard_input_and_a_reader_may_leave() {
    let shell = Shell::new();
    let mut command = shell.command("--from - --all");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // Nobody reads what it prints.
    drop(child.stdout.take());
    child.stdin.take().expect("a pipe").write_all(GROWN.as_bytes()).expect("it reads");
    let said = said(child.wait_with_output().expect("it ends"));
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
}
