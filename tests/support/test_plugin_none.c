/*
 * A shared object that is no plugin.
 *
 * Thread: none.
 */
extern const int test_plugin_none;
const int test_plugin_none = 1;
