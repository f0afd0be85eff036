import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import tailwind from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const dist = here('../internal/door/portal/dist')

// The output directory also holds placeholder.html, which the Go embed needs on a fresh clone,
// so Vite may not empty it; only what an earlier build wrote goes.
function sweep(): Plugin {
  return {
    name: 'sweep-old-build',
    apply: 'build',
    buildStart() {
      for (const old of ['assets', 'basemap', 'index.html', 'mark.svg']) rmSync(`${dist}/${old}`, { recursive: true, force: true })
    },
  }
}

// QANAT_API=https://127.0.0.1:8443 npm run dev   speaks to a running server;
// without it the fixtures in dev/ answer, so that pages can be worked on alone.
export default defineConfig(async ({ command, mode }) => {
  const api = process.env.QANAT_API
  const plugins = [vue(), tailwind(), sweep()]
  if (command === 'serve' && mode !== 'test' && !api) plugins.push((await import('./dev/fixtures')).fixtures())
  return {
    plugins,
    resolve: { alias: { '@': here('./src') } },
    build: {
      outDir: dist,
      emptyOutDir: false,
      assetsInlineLimit: 0,
      // The polyfill is an inline script, which the content security policy refuses.
      modulePreload: { polyfill: false },
      chunkSizeWarningLimit: 700,
    },
    server: {
      host: '127.0.0.1',
      port: 5173,
      proxy: api ? { '/api': { target: api, secure: false, changeOrigin: true }, '/v1': { target: api, secure: false } } : undefined,
    },
    test: { environment: 'happy-dom', include: ['src/**/*.test.ts', 'dev/**/*.test.ts'] },
  }
})
