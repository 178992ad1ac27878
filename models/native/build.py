"""From LLVM's intermediate language to code in memory, for the processor at hand."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import binding as llvm

LONG = 10_000  # lines


@cache
def features() -> Any:
    """What this processor can do, as LLVM names it: a mapping from feature to whether it is there."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.get_host_cpu_features()


def build(text: str, *, vectorise: bool) -> Any:
    """An engine that holds the module's functions (`get_function_address`); they live as long as it does.

    vectorise: whether LLVM looks for loops to widen, which code that is written in vectors does not need.
    """
    flags = features().flatten()
    module = llvm.parse_assembly(text)
    # of long code, whose writing takes seconds, only the passes over the module are thorough
    effort = 1 if text.count("\n") > LONG else 2
    # one for each engine, which takes it over
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=effort, cpu=llvm.get_host_cpu_name(), features=flags
    )
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = vectorise
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
