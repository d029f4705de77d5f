"""Every limit, once. Options a person may set stand in config/schema.py; these are what the design itself bears.

Names end in their unit, biggest word first. The assertions below say how the limits lean on each other.
"""

KIB = 1024
MIB = 1024 * KIB

# wire
event_bytes_max = 1 * MIB  # one encoded event; larger bodies belong in blobs
text_bytes_max = 900 * KIB  # one message of a person, so that its event with all other fields stays below the above
batch_events_max = 256  # one append; all of it is stored in one transaction
batch_bytes_max = 3 * MIB // 2  # one append
coalesce_events_max = 64  # appends that a client sends as one message; the journal takes one of each sender a commit
message_bytes_max = 2 * MIB  # ZMQ_MAXMSGSIZE: libzmq disconnects a peer that sends a larger frame
doorbell_bytes_min = 64 * KIB  # a larger event is published without its body, to bound a slow consumer's queue

# journal
inbox_messages_max = 512  # received and not yet taken; beyond it the journal does not read its socket
page_events_max = 1_000  # one reply to `read`
page_bytes_max = 1 * MIB  # one reply to `read`, cut at whole events; at least one event is always sent
last_words_s = 0.1  # the journal stops last; so long it still takes down how the others ended
credit_events_max = 1_000  # unacknowledged events of one producer; further appends wait
queue_messages_max = 1_000  # ZMQ high-water mark, each direction, each peer

# bus timing
beat_active_s = 1.0  # head beats while the journal changes, and `beat_linger_s` after: a lost message is noticed within 2 s
beat_linger_s = 10.0
beat_idle_s = 5.0
linger_ms = 1_000  # how long a closing socket may try to deliver
handshake_ms = 5_000
reconnect_ms = 100
reconnect_max_ms = 5_000
ask_timeout_s = 10.0  # a question without an answer

# config
secret_bytes_max = 64 * KIB  # the value of one secret
secret_name_chars_max = 64
keyring_s = 10.0  # what the keyring may take for all that is asked of it at a time; a locked one waits for a person

# supervisor
control_line_bytes_max = 64 * KIB
control_clients_max = 16
control_idle_s = 30.0
records_kept_max = 4_096  # lifecycle records a late `watch` can still have
socket_path_bytes_max = 107  # sockaddr_un, less the final NUL
output_line_bytes_max = 48 * KIB  # journald's LineMax; a longer line of a child is cut
log_records_per_s_max = 200  # what one process may log in the long run; the rest is counted and dropped
log_records_burst_max = 2_000  # and at once
output_bytes_per_s_max = 256 * KIB  # what a child may print through stdout and stderr; the rest is counted and dropped

# agent
name_chars_max = 63
session_chars_max = 128
message_kills_max = 3  # a message that ended its agent's process this often is marked failed
sessions_parallel_max = 16  # turns of one agent at the same time, each in another session
include_depth_max = 8  # {{include:file}} in prompts
prompt_bytes_max = 1 * MIB  # persona or reminders, includes and all
turn_grace_s = 3.0  # a turn that runs when the agent is stopped may end by itself so long; then it is put down
record_part_bytes_max = 64 * MIB  # one part of a recorded call: a message with its pictures, or all that a model said
feel_timeout_s = 0.03  # what a turn waits for its feelings at most; with all around it a turn is not 50 ms slower
feel_pause_s = 5.0  # and so long they are not asked for again after that
recall_timeout_s = 0.3  # what a turn waits for what comes to mind at most
recall_behind_s = 0.15  # and mneme for what it has not read yet of what the asker has seen
feelings_s = 1.0  # what a function of `anima.feelings` may take for one event before it is left out
feelings_stimuli_max = 8  # and so much it may find in it
hook_s = 5.0  # what a function of `anima.hooks` may take before it is left out

# sandbox
calls_running_max = 64  # jailed calls of the whole house at a time
calls_agent_max = 8  # of one agent, those that mostly wait: for the network, for a command
call_attempts_max = 4  # a call that its sandbox died under so often is not tried again
call_grace_s = 2.0  # from asking a call to end to ending it
settle_calls = 200  # so many settled calls, or so many events, and the sandbox notes where a new life of it may begin
settle_events = 5_000
left_events_max = 2_000  # events that note may refer to: calls that wait for a person, or are in doubt
hosts_max = 32  # long-lived children of sessions: one more, and the one idle for longest goes
host_idle_s = 1_800.0  # a long-lived child without shells and running commands ends after this
host_shell_idle_s = 86_400.0  # and one with shells
spill_folder_bytes_max = 256 * MIB  # kept outputs of one agent's calls; the oldest go first
spill_files_max = 10_000  # of them

# tools
tool_wall_s = 120.0  # a call of a tool that asks for nothing else; a model may ask for less, never for more
tool_wall_max_s = 600.0  # the most a tool may declare for itself
tool_output_bytes = 50 * KIB  # what a model is shown of one result, head and tail; the whole is kept beside it
tool_output_bytes_max = 512 * KIB  # the most a tool may declare, so that its response fits an event
tool_result_bytes_max = 900 * KIB  # text and data of one result, encoded
tool_spill_bytes_max = 32 * MIB  # the whole output of one call, kept to be paged through
tool_page_lines = 2_000  # one page of read_file
tool_edit_bytes_max = 16 * MIB  # files that are edited in memory; larger ones are for the shell
tool_entries_max = 1_000  # names in one listing
tool_matches_max = 500  # lines in one answer of grep
tool_jobs_max = 16  # background commands of one session
tool_shells_max = 4  # shell sessions of one session
tool_job_bytes_max = 1 * MIB  # output kept of a background command; the oldest goes first
web_body_bytes_max = 5 * MIB  # of one answer, as it comes and after decompression
web_redirects_max = 5
web_total_s = 30.0  # name look-up, connection, redirects and body together
step_calls_max = 64  # calls of one step; they are stored in one transaction
calls_identical_max = 3  # the same call with the same result, before a turn is told to stop repeating it

assert text_bytes_max < event_bytes_max <= page_bytes_max < batch_bytes_max < message_bytes_max
assert doorbell_bytes_min < event_bytes_max
assert page_bytes_max + event_bytes_max <= message_bytes_max, "a page may overshoot by one event"
assert step_calls_max < batch_events_max
assert batch_events_max <= credit_events_max
assert calls_agent_max <= calls_running_max
assert recall_behind_s < recall_timeout_s
assert tool_spill_bytes_max < spill_folder_bytes_max
assert tool_output_bytes <= tool_output_bytes_max < tool_result_bytes_max < event_bytes_max
