"""Devnet and hosts: each guard of rows D, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "D1",
        "enclave/grail_host/guard.py",
        "        if len(hosts) != 1 or hosts[0] not in self._hosts:\n",
        "        if not hosts:\n",
        (
            "grail_host/test_guard.py::test_D1_a_foreign_name_is_refused",
            "grail_host/test_guard.py::test_D1_two_names_at_once_are_refused",
        ),
    ),
    Defence(
        "D1",
        "enclave/grail_host/guard.py",
        '        if scope["type"] != "http":\n',
        "        if False:\n",
        ("grail_host/test_guard.py::test_D1_websockets_are_closed_at_once",),
    ),
    Defence(
        "D2",
        "enclave/grail_host/guard.py",
        '        if method not in SAFE_METHODS and not self._known(values.get(b"authorization", [])):\n',
        "        if False:\n",
        ("grail_host/test_guard.py::test_D2_a_change_without_the_token_is_refused",),
    ),
    Defence(
        "D2",
        "enclave/grail_host/guard.py",
        "        if any(origin not in self._origins for origin in origins):\n",
        "        if False:\n",
        ("grail_host/test_guard.py::test_D2_another_sites_page_is_refused_even_with_the_token",),
    ),
    Defence(
        "D3",
        "enclave/grail_host/guard.py",
        '    (b"cache-control", b"no-store"),\n',
        ('    (b"cache-control", b"no-store"),\n    (b"access-control-allow-origin", b"*"),\n'),
        ("grail_host/test_guard.py::test_D3_no_answer_opens_itself_to_other_sites",),
    ),
    Defence(
        "D4",
        "devnet/grail_devnet/regtest.py",
        '        "-rpcbind=127.0.0.1",\n',
        '        "-rpcbind=0.0.0.0",\n',
        ("grail_devnet/test_node_exposure.py::test_D4_D17_the_node_answers_its_owner_on_loopback",),
    ),
    Defence(
        "D4",
        "enclave/grail_host/settings.py",
        'LOOPBACK = "127.0.0.1"\n',
        'LOOPBACK = "0.0.0.0"\n',
        ("grail_host/test_parts.py::test_D4_it_listens_on_loopback_alone",),
    ),
    Defence(
        "D4",
        "enclave/grail_host/settings.py",
        "class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):",
        "class Settings(msgspec.Struct, frozen=True):",
        ("grail_host/test_parts.py::test_D4_settings_that_say_more_or_less_are_refused",),
    ),
    Defence(
        "D6",
        "sdk/grail/network_file.py",
        "    token: str = field(repr=False)\n",
        "    token: str = field()\n",
        ("grail/test_network_file.py::test_D6_the_token_is_not_in_the_repr",),
    ),
    Defence(
        "D6",
        "sdk/grail/wallet/account.py",
        '        return f"Account({self.name!r}, {self.address}, secret=<secret>)"\n',
        '        return f"Account({self.name!r}, {self._key.secret.hex()})"\n',
        ("grail/wallet/test_account.py::test_D6_secret_is_in_no_text",),
    ),
    Defence(
        "D8",
        "sdk/grail/folders.py",
        "    if not stat.S_ISDIR(found.st_mode):\n",
        "    if False:\n",
        ("grail/test_folders.py::test_D8_a_link_in_place_of_a_folder_is_refused",),
        also=(
            Patch(
                "sdk/grail/folders.py",
                "        found = path.lstat()\n",
                "        found = path.stat()\n",
            ),
        ),
    ),
    Defence(
        "D8",
        "sdk/grail/folders.py",
        "    if found.st_uid != os.geteuid():\n",
        "    if False:\n",
        ("grail/test_folders.py::test_D8_another_users_folder_is_refused",),
    ),
    Defence(
        "D8",
        "sdk/grail/folders.py",
        "    if found.st_mode & 0o077:\n",
        "    if False:\n",
        ("grail/test_folders.py::test_D8_a_folder_open_to_others_is_refused",),
    ),
    Defence(
        "D9",
        "enclave/grail_enclave/serve.py",
        "        if not same_user(writer):\n",
        "        if False:\n",
        ("grail_enclave/test_serve.py::test_D9_peer_of_another_user",),
    ),
    Defence(
        "D9",
        "enclave/grail_enclave/serve.py",
        "    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:\n",
        "    if False:\n",
        ("grail_enclave/test_serve.py::test_D9_folder_open_to_others",),
    ),
    Defence(
        "D10",
        "devnet/grail_devnet/processes.py",
        "                    env={key: os.environ[key] for key in PASSED_ON if key in os.environ},\n",
        "                    env=dict(os.environ),\n",
        ("devnet/test_processes.py::test_D10_children_see_no_secret_of_the_environment",),
    ),
    Defence(
        "D10",
        "enclave/grail_enclave/hardening.py",
        "        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:\n",
        "        if libc is None:\n",
        ("grail_enclave/test_process.py::test_D10_hardened_it_is_not_dumpable",),
    ),
    Defence(
        "D10",
        "devnet/grail_devnet/sandbox.py",
        '"--clearenv"',
        '"--unsetenv", "NOTHING"',
        ("grail_devnet/test_sandbox.py::test_D10_no_environment_no_rights_no_descriptors",),
    ),
    Defence(
        "D12",
        "devnet/grail_devnet/processes.py",
        "        if pid:\n",
        "        if False:\n",
        (
            "grail_devnet/test_sandbox.py::test_D18_D12_the_backend_knows_the_confined_process_itself",
        ),
    ),
    Defence(
        "D18",
        "enclave/grail_enclave/hardening.py",
        "        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:\n",
        "        if libc is None:\n",
        ("grail_devnet/test_sandbox.py::test_D18_kill_9_of_bubblewrap_ends_its_child",),
    ),
    Defence(
        "D11",
        "sdk/grail/network_file.py",
        "    if not NAME.fullmatch(name):\n",
        "    if False:\n",
        ("grail/test_network_file.py::test_D11_names_cannot_leave_the_folder",),
    ),
    Defence(
        "D12",
        "devnet/grail_devnet/processes.py",
        (
            "            if not self.alive:\n"
            "                return False\n"
            "            signal.pidfd_send_signal(handle, number)\n"
        ),
        "            signal.pidfd_send_signal(handle, number)\n",
        ("devnet/test_processes.py::test_D12_a_recycled_pid_is_left_alone",),
    ),
    Defence(
        "D12",
        "sdk/grail/network_file.py",
        "        return start_time(self.manager[0]) == self.manager[1]\n",
        "        return start_time(self.manager[0]) is not None\n",
        ("grail/test_network_file.py::test_D12_a_recycled_process_number_is_not_the_manager",),
    ),
    Defence(
        "D17",
        "devnet/grail_devnet/regtest.py",
        '        "-rpccookieperms=owner",\n',
        '        "-rpccookieperms=all",\n',
        ("grail_devnet/test_node_exposure.py::test_D4_D17_the_node_answers_its_owner_on_loopback",),
    ),
    Defence(
        "D17",
        "devnet/grail_devnet/regtest.py",
        '        "-rpcallowip=127.0.0.1",\n',
        '        "-rpcallowip=0.0.0.0/0",\n',
        ("grail_devnet/test_node_exposure.py::test_D4_D17_the_node_answers_its_owner_on_loopback",),
    ),
    Defence(
        "D18",
        "devnet/grail_devnet/processes.py",
        "        if later is None:\n",
        "        if False:\n",
        ("devnet/test_processes.py::test_D18_kill_9_of_the_owner_leaves_nothing",),
    ),
    Defence(
        "D18",
        "devnet/grail_devnet/processes.py",
        "ulimit -f 2097152; ",
        "",
        ("grail_devnet/test_node_exposure.py::test_D18_no_file_of_a_child_fills_the_disk",),
    ),
)
