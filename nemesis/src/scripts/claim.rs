//! The claim of a controller: a folder of the node that only one can make.
//!
//! Everything that judges and changes it runs under one lock of the node, so that two controllers that find the claim of
//! a dead one cannot both take it over. How old a claim is tells the sign of life of its run ([`super::beat`]), counted in
//! the node's uptime.

use schism_cluster::shell::quote;

/// Sets `owner` to the line of the claim (nothing where there is none) and `age` to the seconds since the last sign of
/// life of its run.
const LOOK: &str = r#"look() {
  owner='' age=0
  [ ! -r "$run/claim/owner" ] || read -r owner <"$run/claim/owner"
  [ -n "$owner" ] || return 0
  read -r up rest </proc/uptime
  up=${up%%.*} at=0
  [ ! -r "$run/beats/${owner%% *}" ] || read -r at rest <"$run/beats/${owner%% *}"
  at=${at:-$up}
  age=$((up - at))
  [ "$age" -ge 0 ] || age=$up
}
"#;

/// Takes the claim, if nobody has it, or its controller was silent for longer than the seconds that its own line ends
/// with. Says `held AGE LINE` where another has it, `left NAME` for each lease of another run, and nothing where the claim
/// is ours and the node is clean.
pub fn claim_take(dir: &str, run: &str, tag: &str, line: &str) -> String {
    format!(
        "dir={dir} run={run} tag={tag} line={line}
umask 022
{LOOK}take() {{
  look
  if [ -n \"$owner\" ] && [ \"${{owner%% *}}\" != \"$tag\" ] && [ \"$age\" -le \"${{owner##* }}\" ]; then
    echo \"held $age $owner\"
    return 0
  fi
  for one in \"$dir\"/*.undo; do
    [ -e \"$one\" ] || continue
    one=${{one##*/}}
    [ \"${{one%%-*}}\" = \"$tag\" ] || echo \"left ${{one%.undo}}\"
  done
  rm -f \"$run/claim/owner\"
  rmdir \"$run/claim\" 2>/dev/null
  mkdir \"$run/claim\" && printf '%s\\n' \"$line\" >\"$run/claim/owner\" || return 1
  read -r up rest </proc/uptime
  echo \"${{up%%.*}} 0\" >\"$run/beats/$tag\"
}}
mkdir -p \"$run/beats\" || exit 1
( flock -w 10 9; take ) 9>>\"$run/guard\"
",
        dir = quote(dir),
        run = quote(run),
        tag = quote(tag),
        line = quote(line),
    )
}

/// Gives the claim of this run back; that of another stays.
pub fn claim_release(run: &str, tag: &str) -> String {
    format!(
        "run={run} tag={tag}
{LOOK}give() {{
  look
  if [ \"${{owner%% *}}\" = \"$tag\" ]; then
    rm -f \"$run/claim/owner\" && rmdir \"$run/claim\" || return 1
  fi
  rm -f \"$run/beats/$tag\"
}}
[ -d \"$run\" ] || exit 0
( flock -w 10 9; give ) 9>>\"$run/guard\"
",
        run = quote(run),
        tag = quote(tag),
    )
}

/// Puts `line` in the place of whatever claim there is: its controller sees with its next sign of life that it has lost
/// the node. Says `AGE LINE` of the claim that was there.
pub fn claim_break(run: &str, line: &str) -> String {
    format!(
        "run={run} line={line}
{LOOK}break_it() {{
  look
  [ -n \"$owner\" ] || return 0
  echo \"$age $owner\"
  printf '%s\\n' \"$line\" >\"$run/claim/owner\"
}}
[ -d \"$run/claim\" ] || exit 0
( flock -w 10 9; break_it ) 9>>\"$run/guard\"
",
        run = quote(run),
        line = quote(line),
    )
}

/// Says `AGE LINE` of the claim, if there is one.
pub fn claim_look(run: &str) -> String {
    format!("run={run}\n{LOOK}look\n[ -z \"$owner\" ] || echo \"$age $owner\"\n", run = quote(run))
}
