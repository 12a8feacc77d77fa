//! The forms of output.

use serde_json::Value;

use crate::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_one_array_one_sequence_or_names() {
    let world = World::start().await;
    assert_eq!(
        world.ok(&["list", "--tenant", "acme", "--output", "json"]),
        "[]\n"
    );
    assert_eq!(
        world.ok(&["list", "--tenant", "acme", "--output", "yaml"]),
        "[]\n"
    );
    let none = world.run(&["list", "--tenant", "acme"]);
    assert_eq!(
        (none.out.as_str(), none.err.as_str()),
        ("", "there are none\n")
    );
    let (first, _) = world.issue("a");
    let (second, _) = world.issue("b");
    let json = world.json(&["list", "--tenant", "acme"]);
    assert_eq!(json[0]["id"], first.as_str());
    assert_eq!(json[1]["kind"], "CREDENTIAL_KIND_API_TOKEN");
    let yaml: Value =
        serde_saphyr::from_str(&world.ok(&["list", "--tenant", "acme", "-o", "yaml"])).unwrap();
    assert_eq!(yaml, json);
    let one = world.json(&["get", &second]);
    assert_eq!(one, json[1]);
    let yaml: Value = serde_saphyr::from_str(&world.ok(&["get", &second, "-o", "yaml"])).unwrap();
    assert_eq!(yaml, one);
    let both = world.json(&["get", &first, &second]);
    assert_eq!(both, json);
    assert_eq!(
        world.ok(&["list", "--tenant", "acme", "-o", "name"]),
        format!("{first}\n{second}\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_has_neither_colours_nor_cut_columns() {
    let world = World::start().await;
    let label = "a label that is much longer than a column of a terminal would be";
    let (id, _) = world.issue(label);
    let list = world.run(&["list", "--tenant", "acme"]);
    assert_eq!(
        list.out,
        format!(
            "ID                                    LABEL{}  TENANT  OWNER  PROFILE    STATE   EXPIRES  \
             LAST USED\n{id}  {label}  acme    jo     api-token  active  never    never\n",
            " ".repeat(label.len() - 5)
        )
    );
    assert_eq!(list.err, "");
    for arguments in [
        &["get", &id][..],
        &["status"],
        &["profile", "list"],
        &["key", "list"],
    ] {
        assert!(!world.ok(arguments).contains('\u{1b}'), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_can_stand_in_the_environment_and_a_flag_is_stronger() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    let list = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("CREDD_OUTPUT", "name");
        crate::ran(command).out
    };
    assert_eq!(list(&["list", "--tenant", "acme"]), format!("{id}\n"));
    assert!(list(&["list", "--tenant", "acme", "-o", "table"]).starts_with("ID "));
}
