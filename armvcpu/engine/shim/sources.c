/* Which sources this library was made from: `armvcpu.engine.shim_library` compares it with those beside it. */

#ifndef SHIM_SOURCES
#error "SHIM_SOURCES is not defined: compile by build.py"
#endif

__attribute__((visibility("default"))) const char *shim_sources(void);

const char *shim_sources(void)
{
    return SHIM_SOURCES;
}
