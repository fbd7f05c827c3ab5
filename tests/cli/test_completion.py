"""Completion of commands, options and values: by click's machinery for each shell, and in a real bash."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from armvcpu.arch.idregs import MODELS
from armvcpu.cli import cli
from armvcpu.debug.tracing.kinds import KINDS
from armvcpu.testing.firmware import store

CASES = {
    "armvcpu ": {"run", "test", "trace", "probe", "machine", "inspect", "firmware", "monitor"},
    "armvcpu run --cpu-model ": {model.name for model in MODELS},
    "armvcpu probe --cpu-model a5": {"a53", "a57"},
    "armvcpu run --trace ": set(KINDS),
    "armvcpu run --trace exits,ps": {"exits,psci"},
    "armvcpu run --trace irq,i": {"irq,insn"},
    "armvcpu run --gic ": {"2", "3"},
    "armvcpu run --clock ": {"host", "instructions"},
    "armvcpu run --virtio ": {"legacy", "modern"},
    "armvcpu run --cpu-": {"--cpu-model"},
    "armvcpu test --annotate ": {"github", "gitlab:"},
    "armvcpu test --annotate gitl": {"gitlab:"},
    "armvcpu firmware ": {"list", "fetch", "path", "initramfs"},
    "armvcpu firmware fetch u-boot li": {"linux", "linux-cloud", "linux-cloud-trixie"},
    "armvcpu firmware path edk2 ": set(store.manifest()["edk2"].files),
    "armvcpu run -m 64 --gic ": {"2", "3"},
}


@pytest.mark.parametrize(("line", "words"), CASES.items())
@pytest.mark.parametrize("shell", [BashComplete, ZshComplete, FishComplete])
def test_values_are_completed(shell, line, words):
    args = line.split()
    incomplete = "" if line.endswith(" ") else args.pop()
    found = shell(cli, {}, "armvcpu", "_ARMVCPU_COMPLETE").get_completions(args[1:], incomplete)
    assert {item.value for item in found} == words
    assert {item.type for item in found} == {"plain"}


@pytest.mark.parametrize("line", ["run", "run --disk", "run --initrd", "inspect", "test", "firmware initramfs -o"])
def test_files_are_the_shells_to_complete(line):
    found = BashComplete(cli, {}, "armvcpu", "_ARMVCPU_COMPLETE").get_completions(line.split(), "g")
    assert [item.type for item in found] == ["file"]


BASH = """
PATH={bin}:$PATH
eval "$(_ARMVCPU_COMPLETE=bash_source armvcpu)"
COMP_WORDS=({line} {word})
COMP_CWORD={index}
_armvcpu_completion armvcpu
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("line", [line for line in CASES if len(CASES[line]) < 5])
def test_a_bash_completes(tmp_path, line):
    """With the script that `eval` is told in the help."""
    command = tmp_path / "armvcpu"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m armvcpu "$@"\n')
    command.chmod(0o755)
    words = line.split()
    word = "''" if line.endswith(" ") else words.pop()
    program = BASH.format(bin=tmp_path, line=" ".join(words), word=word, index=len(words))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == CASES[line], done.stderr
