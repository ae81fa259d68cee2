# The sources of belt_worker_handlers: what runs a job once it was fetched.
set(BELT_HANDLER_SOURCES
  handler_plugin.c handler_plugin_host.c handler_plugin_subtask.c
  cell.c cgroup.c delivery.c guard.c handler.c handler_argv.c handler_builtin.c
  handler_control.c handler_end.c handler_env.c handler_exec.c handler_http.c handler_http_config.c handler_http_curl.c handler_http_sign.c handler_keys.c handler_lines.c handler_stderr.c pool.c run_log.c spawn.c
  handler_process.c handler_process_child.c handler_process_judge.c handler_process_keeper.c handler_process_line.c handler_process_set.c handler_process_stop.c
  handler_command.c handler_output.c
  isolation.c orphans.c tree.c usage.c
  subtask.c subtask_emit.c subtask_finish.c subtask_lines.c subtask_pool.c)
