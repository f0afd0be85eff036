import { defineAsyncComponent } from 'vue'

// OpenLayers and uPlot come only with the first page that draws with them.
export const MapView = defineAsyncComponent(() => import('./MapView.vue'))
export const Chart = defineAsyncComponent(() => import('./Chart.vue'))
