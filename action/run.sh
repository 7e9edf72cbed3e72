#!/usr/bin/env bash
# What the action does: lint, test and diff over a checkout. It builds the program from the action's own
# checkout unless SALLYPORT names one. Findings and failed tests fail the job; what a change opens and
# closes is for people to read, and does not.
set -uo pipefail

path=${SALLYPORT_PATH:-.} tests=${SALLYPORT_TESTS:-} base=${SALLYPORT_BASE:-}
out=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/sallyport.XXXXXX") || exit 1
summary=${GITHUB_STEP_SUMMARY:-/dev/null} outputs=${GITHUB_OUTPUT:-/dev/null}
sallyport=${SALLYPORT:-$out/sallyport}

# A name of a file or in one may look like a command of GitHub's, ##[set-output name=diff]… even in the middle
# of a line. None is obeyed until the end, which only this token marks.
token=$(od -An -v -N16 -tx1 /dev/urandom | tr -d ' \n')
if [ "${#token}" -ne 32 ]; then exit 1; fi
echo "::stop-commands::$token"
trap 'printf "\n::%s::\n" "$token"' EXIT

if [ -z "${SALLYPORT:-}" ]; then
  (cd "$GITHUB_ACTION_PATH" && go build -trimpath -o "$sallyport" ./cmd/sallyport) || exit 1
fi

# A kustomization is built, anything else is read as it is.
input=(-f "$path")
for name in kustomization.yaml kustomization.yml Kustomization; do
  if [ -f "$path/$name" ]; then input=(-k "$path"); fi
done

worst=0
# failed NAME STATUS remembers the worst status, and says which step it was.
failed() {
  echo "sallyport $1: exit status $2"
  if [ "$worst" -ne 1 ]; then worst=$2; fi
}

"$sallyport" lint "${input[@]}" --fail-on "${SALLYPORT_FAIL_ON:-warning}"
status=$?
if [ "$status" -ne 0 ]; then failed lint "$status"; fi
if [ "$status" -ne 1 ]; then
  "$sallyport" lint "${input[@]}" --fail-on never -o sarif >"$out/lint.sarif" && echo "sarif=$out/lint.sarif" >>"$outputs"
fi

if [ -n "$tests" ]; then
  "$sallyport" test "$tests"
  status=$?
  if [ "$status" -ne 0 ]; then failed test "$status"; fi
  if [ "$status" -ne 1 ]; then
    "$sallyport" test "$tests" -o junit >"$out/test.xml"
    echo "junit=$out/test.xml" >>"$outputs"
  fi
fi

# The base must be a commit that is there, and no option of git's; a checkout without history has none.
commit=
if [ -n "$base" ]; then
  commit=$(git rev-parse --quiet --verify "$base^{commit}")
  if [[ ! $commit =~ ^[0-9a-f]{40,64}$ ]]; then
    echo "sallyport diff: $base is no commit of this checkout (hint: fetch-depth: 0)"
    failed diff 1
    commit=
  fi
fi

if [ -n "$commit" ]; then
  before=.sallyport-base # hidden, so that it is no part of what is compared with it
  rm -rf "$before" && mkdir "$before"
  if git archive "$commit" -- "$path" | tar -x -C "$before"; then
    "$sallyport" diff "$before/$path" "$path" -o md >"$out/diff.md"
    status=$?
    if [ "$status" -eq 1 ]; then
      failed diff 1
    else
      cat "$out/diff.md"
      cat "$out/diff.md" >>"$summary"
      echo "diff=$out/diff.md" >>"$outputs"
    fi
  else
    echo "sallyport diff: $path is not in $base, so there is nothing to compare with"
  fi
  rm -rf "$before"
fi
exit "$worst"
