//! The `parlance` program: puts the plugins together and hands over to the command line.

use parlance_auth::{Access, AccessOptions, Auth, AuthKeys, AuthOptions};
use parlance_groups::{GroupLimits, GroupPlugin};
use parlance_history::{Engine, Keyring, SealedVault, StoreOptions};
use parlance_plugin_api::{identity::Directory, ledger::Ledger, store::Vault};
use parlance_server::{
    cli,
    config::{Config, StoreEngine},
    serve::{PluginError, Plugins, Services, Storage},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Standard;

impl Plugins for Standard {
    fn storage(&self, config: &Config) -> Result<Storage, PluginError> {
        let folder = config.data_dir.join("store");
        let key_file = key_file(config);
        let had_keys = key_file.exists();
        // With data there, a missing key file must not be made anew: nothing would open.
        let keyring = if parlance_history::holds_store(&folder) {
            Keyring::load(&key_file)?
        } else {
            Keyring::load_or_create(&key_file)?
        };
        let vault = Arc::new(SealedVault::new(keyring)?);
        let mut options = StoreOptions::new(engine(config.store.engine), folder);
        // The server stops taking writes first; what it has taken by then still finds room.
        options.limits.reserve_bytes = config.store.min_free_bytes / 2;
        options.fjall.cache_bytes = config.store.cache_bytes;
        options.sled.cache_bytes = config.store.cache_bytes;
        let store = parlance_history::open(&options)?;
        let created = if had_keys { Vec::new() } else { vec![key_file] };
        Ok(Storage { store, vault, created })
    }

    fn services(
        &self,
        config: &Config,
        ledger: Arc<dyn Ledger>,
        vault: Arc<dyn Vault>,
    ) -> Result<Services, PluginError> {
        let admin = config.data_dir.join("admin.token");
        let had_keys = admin.exists();
        let keys = AuthKeys::load_or_create(&config.data_dir)?;
        let options = AuthOptions {
            access_ttl_s: config.auth.access_ttl_s,
            refresh_ttl_s: config.auth.refresh_ttl_s,
            registrations_per_minute: config.auth.registrations_per_minute,
            sessions_per_user_max: config.auth.logins_per_user_max,
            ..AuthOptions::default()
        };
        let auth = Auth::open(ledger.clone(), vault.clone(), keys, options)?;
        let directory: Arc<dyn Directory> = auth.clone();
        let limits = GroupLimits {
            members_max: u32::try_from(config.limits.group_members_max).unwrap_or(u32::MAX),
            ..GroupLimits::default()
        };
        let access = Access::open(ledger.clone(), directory.clone(), access_file(config))?;
        let groups = Arc::new(GroupPlugin::new(ledger, vault, directory.clone(), limits));
        Ok(Services {
            authenticator: auth.clone(),
            directory,
            accounts: auth.clone(),
            operators: auth,
            groups,
            access,
            created: if had_keys { Vec::new() } else { vec![admin] },
        })
    }

    fn rotate_master_key(&self, config: &Config) -> Result<u32, PluginError> {
        Ok(Keyring::load(&key_file(config))?.rotate()?)
    }
}

fn key_file(config: &Config) -> PathBuf {
    config.data_dir.join("master.keys")
}

/// The access rules that are named, or those of the data folder if there are some.
fn access_file(config: &Config) -> AccessOptions {
    let named = config.access.named_file();
    let file = named.map_or_else(|| config.data_dir.join("access.toml"), Path::to_owned);
    AccessOptions { file: Some(file), file_required: named.is_some() }
}

fn engine(configured: StoreEngine) -> Engine {
    match configured {
        StoreEngine::Fjall => Engine::Fjall,
        StoreEngine::Sled => Engine::Sled,
    }
}

fn main() -> ExitCode {
    cli::main(&Standard)
}
